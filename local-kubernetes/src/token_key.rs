//! The key that service accounts' tokens are signed with, and tokens that end
//! sooner than the API server lets them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use data_encoding::BASE64URL_NOPAD;
use rcgen::KeyPair;
use serde_json::Value;

/// For how long the API server takes a token that has ended, as clocks differ.
const LEEWAY: Duration = Duration::from_secs(60);

pub(crate) struct TokenKey(KeyPair);

impl TokenKey {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    /// Signs tokens; in PEM.
    pub(crate) fn private_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// Verifies tokens; in PEM.
    pub(crate) fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// The same token, signed anew, of which the API server says after `lifetime`
    /// that it has expired.
    pub(crate) fn expiring(&self, token: &str, lifetime: Duration) -> Result<String> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims)) = (parts.next(), parts.next()) else {
            anyhow::bail!("no token of three parts");
        };
        let mut claims: Value =
            serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes())?)?;
        let end = SystemTime::now() + lifetime - LEEWAY;
        claims["exp"] = end.duration_since(UNIX_EPOCH)?.as_secs().into();
        let claims = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        let signed = format!("{header}.{claims}");
        let signature = self.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    /// As JWTs have it (ES256): both numbers, one after the other.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.0.serialize_der())
                .ok()
                .context("not a key of ES256")?;
        let signature = key.sign(&SystemRandom::new(), message);
        Ok(signature.ok().context("cannot sign")?.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};

    use super::*;

    #[test]
    fn another_end_and_a_signature_that_fits() {
        let key = TokenKey::new().unwrap();
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let token = [part("{}"), part(r#"{"sub":"a","exp":1}"#), "x".into()].join(".");
        let token = key.expiring(&token, Duration::from_secs(600)).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.0.serialize_der())
                .unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .unwrap();
        let claims = signed.split('.').nth(1).unwrap();
        let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let left = claims["exp"].as_u64().unwrap() - now.as_secs();
        assert!((539..=540).contains(&left), "{left}");
        assert_eq!(claims["sub"], "a");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert!(
            TokenKey::new()
                .unwrap()
                .expiring("a", Duration::ZERO)
                .is_err()
        );
    }
}
