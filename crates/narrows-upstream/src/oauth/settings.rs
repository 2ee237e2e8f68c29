//! What the config says about logging in at one upstream.

use std::fmt;

/// How we log in at an HTTP upstream. Without any of it, the upstream's own answers tell how.
/// `Debug` hides what is secret.
#[derive(Clone, PartialEq, Default)]
pub struct OAuth {
    /// The client that was registered by hand, if any.
    pub client_id: Option<String>,
    /// Its secret, if it has one.
    pub client_secret: Option<String>,
    /// The address of our client metadata document, used as the client's id where the
    /// authorization server can read it.
    pub client_metadata_url: Option<String>,
    /// Ask for these scopes instead of those that the upstream names.
    pub scopes: Vec<String>,
    /// The port of the address that the browser comes back to; any free one otherwise.
    pub redirect_port: Option<u16>,
    /// Who logs in.
    pub grant: Grant,
    /// The PEM of the key that signs our assertions (`private_key_jwt`).
    pub private_key: Option<String>,
}

/// Who logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grant {
    /// A person, in a browser (authorization code with PKCE).
    #[default]
    Person,
    /// We ourselves, with our client's secret or key (client credentials).
    Client,
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret.as_ref().map(|_| "***"))
            .field("client_metadata_url", &self.client_metadata_url)
            .field("scopes", &self.scopes)
            .field("redirect_port", &self.redirect_port)
            .field("grant", &self.grant)
            .field("private_key", &self.private_key.as_ref().map(|_| "***"))
            .finish()
    }
}
