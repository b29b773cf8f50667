//! What all examples are told: which cluster, whom to trust, and who they are.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The examples' settings, from the environment.
pub struct Settings {
    /// `CULVERT_URL`: the cluster's API, `https://<cluster>.<base-domain>`.
    pub url: String,
    /// `CULVERT_CA_FILE`: whom to trust instead of the system's certificate
    /// authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// The content of `CULVERT_TOKEN_FILE`: the access token.
    pub token: String,
}

impl Settings {
    /// Reads them. The token comes from a file: a process' arguments are
    /// anybody's to read.
    ///
    /// # Errors
    /// If one is missing, or the token's file cannot be read.
    pub fn from_env() -> Result<Self> {
        let token_file = env::var("CULVERT_TOKEN_FILE").context("set CULVERT_TOKEN_FILE")?;
        let token = std::fs::read_to_string(&token_file)
            .with_context(|| format!("cannot read {token_file}"))?;
        Ok(Self {
            url: env::var("CULVERT_URL").context("set CULVERT_URL")?,
            ca_file: env::var_os("CULVERT_CA_FILE").map(PathBuf::from),
            token: token.trim().to_owned(),
        })
    }
}
