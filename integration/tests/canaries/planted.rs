//! What is planted: a text of its own for each place.

use anyhow::{Result, ensure};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use integration::secrets::Secrets;

/// Whatever was planted in one test.
#[derive(Default)]
pub(crate) struct Canaries(Vec<(String, String)>);

impl Canaries {
    /// A secret that nothing gives away as one.
    pub(crate) fn plain(&mut self, place: &str) -> String {
        self.add(place, format!("{:032x}", rand::random::<u128>()))
    }

    /// One that looks like what it is, in places where only its looks help.
    pub(crate) fn known(&mut self, place: &str, prefix: &str) -> String {
        let secret = format!("{:032x}", rand::random::<u128>());
        self.add(place, secret.clone());
        format!("{prefix}{secret}")
    }

    /// `user:password` as Basic has it.
    pub(crate) fn basic(&mut self, place: &str) -> String {
        let password = self.plain(place);
        self.add(place, BASE64.encode(format!("user:{password}").as_bytes()))
    }

    /// As browsers send a token.
    pub(crate) fn subprotocol(&mut self, place: &str, token: &str) -> String {
        self.add(place, BASE64URL_NOPAD.encode(token.as_bytes()))
    }

    pub(crate) fn add(&mut self, place: &str, secret: String) -> String {
        self.0.push((place.to_owned(), secret.clone()));
        secret
    }

    /// Every chain is searched for them, too.
    pub(crate) fn tell(&self, secrets: &Secrets) {
        for (place, secret) in &self.0 {
            secrets.add(place, secret);
        }
    }

    pub(crate) fn must_not_be_in(&self, shown: &str, text: &str) -> Result<()> {
        for (place, secret) in &self.0 {
            ensure!(!text.contains(secret.as_str()), "{place} stands in {shown}");
        }
        Ok(())
    }
}
