//! Proving who we are with a key: a signed assertion (RFC 7523) instead of a secret.

use super::{Refusal, now, random_text};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;

/// How long an assertion is good for, in seconds.
const LIFE_S: u64 = 120;

enum Key {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// Says to `audience`, signed with the key, that we are `client`.
pub(super) fn assertion(pem: &str, client: &str, audience: &str) -> Result<String, Refusal> {
    let key = Key::read(pem)?;
    let now = now();
    let header = json!({"alg": key.name(), "typ": "JWT"});
    let claims = json!({
        "iss": client, "sub": client, "aud": audience, "jti": random_text()?,
        "iat": now, "nbf": now, "exp": now + LIFE_S,
    });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(text.as_bytes())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

impl Key {
    fn read(pem: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::new("`private_key` is no PKCS#8 PEM of an EC, Ed25519 or RSA key");
        let body = pem.trim().strip_prefix("-----BEGIN PRIVATE KEY-----");
        let body = body.and_then(|pem| pem.strip_suffix("-----END PRIVATE KEY-----"));
        let base64: String = body.ok_or_else(wrong)?.split_ascii_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_bad| wrong())?;
        let random = SystemRandom::new();
        let elliptic = |curve| EcdsaKeyPair::from_pkcs8(curve, &der, &random);
        if let Ok(key) = elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Ok(Self::Es256(key));
        }
        if let Ok(key) = elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING) {
            return Ok(Self::Es384(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self::EdDsa(key));
        }
        RsaKeyPair::from_pkcs8(&der).map(Self::Rs256).map_err(|_bad| wrong())
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Es384(_) => "ES384",
            Self::EdDsa(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
        }
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Refusal> {
        let random = SystemRandom::new();
        let failed = |_| Refusal::new("the assertion could not be signed");
        match self {
            Self::Es256(key) | Self::Es384(key) => {
                Ok(key.sign(&random, text).map_err(failed)?.as_ref().to_vec())
            }
            Self::EdDsa(key) => Ok(key.sign(text).as_ref().to_vec()),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{URL_SAFE_NO_PAD, assertion};
    use base64::Engine as _;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, UnparsedPublicKey, VerificationAlgorithm,
    };

    fn pem(der: &[u8]) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    fn check(pem: &str, public: &[u8], name: &str, way: &'static dyn VerificationAlgorithm) {
        let text = assertion(pem, "me", "https://as.example").unwrap();
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(way, public).verify(signed.as_bytes(), &signature).unwrap();
        let parts: Vec<serde_json::Value> = signed
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0]["alg"], name);
        assert_eq!((&parts[1]["iss"], &parts[1]["sub"]), (&"me".into(), &"me".into()));
        assert_eq!(parts[1]["aud"], "https://as.example");
    }

    #[test]
    fn an_assertion_is_signed_with_whatever_key_there_is() {
        let random = SystemRandom::new();
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(curve, der.as_ref(), &random).unwrap();
        check(&pem(der.as_ref()), key.public_key().as_ref(), "ES256", &ECDSA_P256_SHA256_FIXED);
        let der = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
        check(&pem(der.as_ref()), key.public_key().as_ref(), "EdDSA", &ED25519);
    }

    #[test]
    fn what_is_no_key_is_not_repeated() {
        let error =
            assertion("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "", "");
        let text = error.unwrap_err().to_string();
        assert!(text.contains("PKCS#8") && !text.contains("c2VjcmV0"), "{text}");
    }
}
