//! Callers that speak one version of HTTP.

use anyhow::{Result, ensure};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, Version};

use crate::chain::Chain;

/// What a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Http1,
    Http2,
}

impl HttpVersion {
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    /// A caller of the chain, with a pool of its own.
    pub fn caller(self, chain: &Chain) -> Result<Client> {
        let mut token = HeaderValue::try_from(format!("Bearer {}", chain.access_token.expose()))?;
        token.set_sensitive(true);
        let builder = chain
            .http()
            .default_headers([(AUTHORIZATION, token)].into_iter().collect());
        Ok(match self {
            Self::Http1 => builder.http1_only(),
            // By ALPN: the server prefers it.
            Self::Http2 => builder,
        }
        .build()?)
    }

    /// Sends a GET; fails where another version was spoken, or the answer is no
    /// success.
    pub async fn get(self, caller: &Client, url: &str) -> Result<Response> {
        let response = caller.get(url).send().await?;
        let expected = match self {
            Self::Http1 => Version::HTTP_11,
            Self::Http2 => Version::HTTP_2,
        };
        ensure!(
            response.version() == expected,
            "{:?} was spoken instead of {self:?}",
            response.version()
        );
        Ok(response.error_for_status()?)
    }
}
