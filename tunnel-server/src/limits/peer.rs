//! Who has sent a request.

use std::sync::Arc;

use http::HeaderMap;

use super::connection::Connection;
use crate::client_address::ClientAddress;
use crate::trusted_proxies::TrustedProxies;

/// Where a request comes from, and over which connection. A load balancer's connection
/// carries requests of many.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: ClientAddress,
    connection: Arc<Connection>,
}

impl Peer {
    /// What `headers` say of it counts only on a connection of a trusted proxy.
    pub(crate) fn of(
        connection: Arc<Connection>,
        headers: &HeaderMap,
        proxies: &TrustedProxies,
    ) -> Self {
        let address = match connection.is_shared() {
            true => proxies.client(headers, connection.address()),
            false => connection.address(),
        };
        Self {
            address,
            connection,
        }
    }

    pub(crate) fn address(&self) -> ClientAddress {
        self.address
    }

    /// Whether it is a trusted proxy that asks for itself, as to see whether we are here.
    pub(crate) fn is_a_proxy_itself(&self) -> bool {
        self.connection.is_shared() && self.address == self.connection.address()
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}
