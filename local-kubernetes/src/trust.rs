//! Who the API server proves to be, and whose proofs it takes.

use std::time::Duration;

use anyhow::Result;

use crate::api_client::ApiClient;
use crate::certificates::{Ca, Identity};
use crate::token_key::TokenKey;
use crate::{ControlPlane, server_files};

/// Names of the CAs.
const CA: &str = "local-kubernetes-ca";
const CLIENT_CA: &str = "local-kubernetes-client-ca";

pub(crate) struct Trust {
    /// Of the certificate for `localhost`; of the other one, too, unless
    /// [`Options::serving_certificate`](crate::Options::serving_certificate) says
    /// otherwise.
    pub(crate) ca: Ca,
    pub(crate) client_ca: Ca,
    pub(crate) token_key: TokenKey,
}

impl Trust {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            ca: Ca::new(CA)?,
            client_ca: Ca::new(CLIENT_CA)?,
            token_key: TokenKey::new()?,
        })
    }
}

impl ControlPlane {
    /// A client certificate for `user`, who is in `group`, with its key.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn client_certificate(&self, user: &str, group: &str) -> Result<Identity> {
        self.trust.client_ca.client(user, group)
    }

    /// The same token with another end: after `lifetime` the API server says that
    /// it has expired, but for up to 10 s more if it was asked shortly before, as it
    /// remembers which tokens are good.
    ///
    /// # Errors
    /// If it is no service account's token.
    pub fn expiring_token(&self, token: &str, lifetime: Duration) -> Result<String> {
        self.trust.token_key.expiring(token, lifetime)
    }

    /// Starts the API server again with a new key and certificate of the same CA.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart_with_new_certificate(&self) -> Result<()> {
        self.kill_api_server()?;
        server_files::write_server_certificate(&self.folder, &self.trust.ca.server()?)?;
        self.restart_api_server().await
    }

    /// Starts the API server again with a certificate of a new CA, which
    /// [`ca_pem`](Self::ca_pem) and the administrator's kubeconfig have from then on.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart_with_new_ca(&mut self) -> Result<()> {
        self.kill_api_server()?;
        self.trust.ca = Ca::new(CA)?;
        self.ca_pem = self.trust.ca.pem();
        self.api = ApiClient::new(self.port.number(), &self.ca_pem, &self.admin_token)?;
        self.write_admin_kubeconfig()?;
        self.restart_with_new_certificate().await
    }
}
