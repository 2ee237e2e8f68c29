//! What the token endpoint is asked, and what it gives.

use super::assertion::assertion;
use super::settings::OAuth;
use super::vault::{Hidden, Identity, Token};
use super::web::{Web, encoded};
use super::{Refusal, now, scopes_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde_json::Value;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 64 << 10;
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why no token came.
pub(super) enum Denial {
    /// What was shown is not good any more: a renewal or a code that ended.
    Ended(Refusal),
    /// Anything else.
    Other(Refusal),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Other(refusal)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Ended(refusal) | Denial::Other(refusal) => refusal,
        }
    }
}

/// A request to a token endpoint.
pub(super) struct Order<'a> {
    pub(super) endpoint: &'a Url,
    pub(super) issuer: &'a str,
    pub(super) client: &'a Identity,
    pub(super) settings: &'a OAuth,
    /// `grant_type` and what belongs to it.
    pub(super) form: Vec<(&'a str, &'a str)>,
}

impl Order<'_> {
    /// Sends it.
    pub(super) async fn send(self, web: &Web) -> Result<Token, Denial> {
        let signed;
        let Self { endpoint, issuer, client, settings, form } = self;
        let mut form: Vec<(&str, &str)> = form;
        let mut authorization = None;
        match (client.method.as_str(), &client.secret, &settings.private_key) {
            ("client_secret_basic", Some(secret), _) => {
                authorization = Some(basic(&client.id, &secret.0)?);
            }
            ("client_secret_post", Some(secret), _) => {
                form.extend([("client_id", client.id.as_str()), ("client_secret", &secret.0)]);
            }
            ("private_key_jwt", _, Some(key)) => {
                signed = assertion(key, &client.id, issuer)?;
                form.extend([
                    ("client_id", client.id.as_str()),
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", &signed),
                ]);
            }
            _ => form.push(("client_id", &client.id)),
        }
        let reply = web.form(endpoint, &form, authorization).await?;
        if !reply.is_success() {
            let text = format!("the authorization server gave no token: {}", reply.said());
            let ended = reply.body.get("error").and_then(Value::as_str) == Some("invalid_grant");
            let refusal = Refusal::new(text);
            return Err(if ended { Denial::Ended(refusal) } else { Denial::Other(refusal) });
        }
        Ok(read(&reply.body)?)
    }
}

fn read(body: &Value) -> Result<Token, Refusal> {
    let text = |key| body.get(key).and_then(Value::as_str);
    let sound = |token: &&str| {
        !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && HeaderValue::from_str(token).is_ok()
    };
    let Some(access) = text("access_token").filter(sound) else {
        return Err(Refusal::new("the authorization server answered without a token"));
    };
    if !text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(Refusal::new("the authorization server gave a token of a kind we cannot use"));
    }
    let life = body.get("expires_in").and_then(|life| match life {
        // Some servers write the number as text.
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    });
    Ok(Token {
        access: Hidden(access.to_owned()),
        refresh: text("refresh_token").filter(sound).map(|token| Hidden(token.to_owned())),
        ends: life.map(|life| now().saturating_add(life)),
        scopes: text("scope").map(scopes_of).unwrap_or_default(),
    })
}

/// RFC 6749: both parts are encoded as in a form before they are joined.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, Refusal> {
    let part = |text: &str| {
        let pair = encoded(&[("", text)]);
        pair.strip_prefix('=').unwrap_or(&pair).to_owned()
    };
    let text = STANDARD.encode(format!("{}:{}", part(id), part(secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {text}"))
        .map_err(|_bad| Refusal::new("the client's secret fits no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::{basic, read};
    use serde_json::json;

    #[test]
    fn a_secret_is_encoded_before_it_is_joined() {
        // echo -n 'a%3Ab:c+d%2B' | base64
        assert_eq!(basic("a:b", "c d+").unwrap(), "Basic YSUzQWI6YytkJTJC");
    }

    #[test]
    fn only_a_bearer_token_is_taken() {
        assert!(read(&json!({"access_token": "t", "token_type": "DPoP"})).is_err());
        assert!(read(&json!({"access_token": "a\nb", "token_type": "Bearer"})).is_err());
        assert!(read(&json!({"token_type": "Bearer"})).is_err());
        let token = read(
            &json!({"access_token": "t", "token_type": "bearer", "expires_in": "60", "scope": "a b"}),
        );
        let token = token.unwrap();
        assert!(token.ends.is_some() && token.scopes == ["a", "b"]);
        assert!(!format!("{token:?}").contains("\"t\""), "it shows in no log");
    }
}
