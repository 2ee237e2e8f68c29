//! What can be set about logging in at a server.

use crate::config::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// How Narrows logs in at `url` (OAuth). Most servers need none of it: `narrows auth login SERVER`
/// finds out by asking them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OAuth {
    /// The client that you registered at the authorization server, if it takes none by itself.
    pub(crate) client_id: Option<String>,
    /// The secret of that client, if it has one.
    pub(crate) client_secret: Option<Secret>,
    /// An HTTPS address where a client metadata document of yours can be read; it is the client's
    /// id where the authorization server accepts that.
    pub(crate) client_metadata_url: Option<String>,
    /// Ask for these scopes instead of those that the server names.
    pub(crate) scopes: Vec<String>,
    /// The port on 127.0.0.1 that the browser comes back to (default: any free one).
    #[schemars(range(min = 1))]
    pub(crate) redirect_port: Option<u16>,
    /// Who logs in: `person` (in a browser) or `client` (Narrows itself, with the client's secret
    /// or key).
    pub(crate) grant: Grant,
    /// The PEM (PKCS#8; EC P-256, P-384, Ed25519 or RSA) of the key that the client proves itself
    /// with instead of a secret: `${file:PATH}`.
    pub(crate) private_key: Option<Secret>,
}

/// Who logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grant {
    /// A person, in a browser.
    #[default]
    Person,
    /// Narrows itself.
    Client,
}
