//! A TCP port that nobody else is given while it is held.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context, Result};
use tokio::net::TcpSocket;

/// A port on 127.0.0.1, held by a socket that is bound but does not listen.
///
/// The API server cannot be told to choose a port and say which. To look for
/// a free port and let go of it would leave a gap in which others take it.
/// Instead the port stays bound with `SO_REUSEPORT`, and the API server binds
/// it a second time with `--permit-port-sharing`. As this socket does not
/// listen, all connections reach the API server, and while that is down they
/// are refused.
pub(crate) struct ReservedPort {
    number: u16,
    _bound: TcpSocket,
}

impl ReservedPort {
    pub(crate) fn new() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket
            .bind(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))
            .context("no free port on 127.0.0.1")?;
        Ok(Self {
            number: socket.local_addr()?.port(),
            _bound: socket,
        })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}
