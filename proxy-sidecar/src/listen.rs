//! Where the proxy listens: a port or a Unix socket, opened as kubectl proxy opens
//! them and with its words where that fails.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::sockopt;
use rustix::process::umask;
use service_kit::accept::Listener;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener, UnixStream, lookup_host};

/// Of callers' connections, as Go's servers have it.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What to listen on.
#[derive(Clone, Debug)]
pub(crate) enum Listen {
    Tcp { address: String, port: i64 },
    Unix(PathBuf),
}

/// A listener that is open.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// Where it can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The port or the socket cannot be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Not between 0 and 65535.
    #[error("listen tcp: address {0}: invalid port")]
    Port(i64),
    /// An IPv6 address without brackets.
    #[error("listen tcp: address {0}: too many colons in address")]
    Colons(String),
    /// Neither an address nor a name of one.
    #[error("listen tcp: lookup {host}: {cause}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        cause: io::Error,
    },
    /// The system refuses.
    #[error("listen {network} {address}: bind: {cause}")]
    Bind {
        /// `tcp` or `unix`.
        network: &'static str,
        /// Which one.
        address: String,
        /// Why.
        cause: io::Error,
    },
}

impl Listen {
    pub(crate) async fn open(&self) -> Result<Listening, ListenError> {
        match self {
            Self::Tcp { address, port } => tcp(address, *port).await.map(Listening::Tcp),
            Self::Unix(path) => UnixSocket::bind(path).map(Listening::Unix),
        }
    }
}

impl Listening {
    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(socket) => Ok(Address::Unix(socket.path.clone())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

async fn tcp(host: &str, port: i64) -> Result<TcpListener, ListenError> {
    let number = u16::try_from(port).map_err(|_| ListenError::Port(port))?;
    let address = address(host, number).await?;
    let listener = TcpListener::bind(address).await;
    let listener = match listener {
        // Where there is no IPv6 at all.
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).await
        }
        other => other,
    };
    let listener = listener.and_then(|listener| keep_alive(&listener).map(|()| listener));
    listener.map_err(|cause| ListenError::Bind {
        network: "tcp",
        address: address.to_string(),
        cause,
    })
}

/// Finds callers that are gone without a word. Accepted connections have it from their
/// listener.
fn keep_alive(listener: &TcpListener) -> io::Result<()> {
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(listener, KEEPALIVE)?;
    Ok(())
}

/// The address of a host's name, IPv4 first. All IPv4 addresses means all of IPv6, too.
async fn address(host: &str, port: u16) -> Result<SocketAddr, ListenError> {
    let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    if host.is_empty() {
        return Ok(all);
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err(ListenError::Colons(format!("{host}:{port}")));
    }
    if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
        let is_all = ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        return Ok(if is_all { all } else { (ip, port).into() });
    }
    let failed = |cause| ListenError::Lookup {
        host: host.to_owned(),
        cause,
    };
    let found: Vec<_> = lookup_host((host, port)).await.map_err(failed)?.collect();
    let address = found.iter().find(|one| one.is_ipv4()).or(found.first());
    address
        .copied()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// A Unix socket, which is removed in the end.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it is.
    inode: Option<u64>,
}

impl UnixSocket {
    /// Only our user may connect. A socket that an earlier process left is replaced,
    /// any other file is not.
    fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |cause| ListenError::Bind {
            network: "unix",
            address: path.display().to_string(),
            cause,
        };
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        // So that it is never open to others, not for a moment either.
        let before = umask(Mode::RWXG | Mode::RWXO);
        let listener = UnixListener::bind(path);
        umask(before);
        Ok(Self {
            listener: listener.map_err(failed)?,
            path: path.to_owned(),
            inode: inode(path),
        })
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|file| file.ino())
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Another process may have put its own in this one's place.
        if self.inode.is_none() || inode(&self.path) != self.inode {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the socket stays");
        }
    }
}

/// Its callers have no address.
impl Listener for UnixSocket {
    type Stream = UnixStream;
    type Peer = NoAddress;

    async fn accept(&self) -> io::Result<(UnixStream, NoAddress)> {
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, NoAddress))
    }
}

/// The caller of a Unix socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoAddress;

/// Who calls, where that can be told.
pub(crate) trait Peer: fmt::Debug + Send + 'static {
    fn ip(&self) -> Option<IpAddr>;
}

impl Peer for NoAddress {
    fn ip(&self) -> Option<IpAddr> {
        None
    }
}

impl Peer for SocketAddr {
    fn ip(&self) -> Option<IpAddr> {
        // A listener on all addresses sees IPv4 ones inside of IPv6.
        Some(SocketAddr::ip(self).to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(address: &str, port: i64) -> String {
        let listen = Listen::Tcp {
            address: address.to_owned(),
            port,
        };
        match listen.open().await {
            Ok(open) => open.address().unwrap().to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// As kubectl 1.36 says them.
    #[tokio::test]
    async fn addresses_as_kubectl_reads_them() {
        for (address, port, text) in [
            (
                "127.0.0.1",
                99_999,
                "listen tcp: address 99999: invalid port",
            ),
            ("127.0.0.1", -1, "listen tcp: address -1: invalid port"),
            (
                "::1",
                0,
                "listen tcp: address ::1:0: too many colons in address",
            ),
        ] {
            assert_eq!(told(address, port).await, text);
        }
        assert!(told("127.0.0.1", 0).await.starts_with("127.0.0.1:"));
        assert!(told("localhost", 0).await.starts_with("127.0.0.1:"));
        for all in ["", "0.0.0.0"] {
            let all = told(all, 0).await;
            assert!(
                all.starts_with("[::]:") || all.starts_with("0.0.0.0:"),
                "{all}"
            );
        }
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap();
        let text = told("127.0.0.1", taken.port().into()).await;
        let starts = format!("listen tcp {taken}: bind: ");
        assert!(text.starts_with(&starts), "{text}");
    }

    #[tokio::test]
    async fn a_socket_is_ours_alone_and_leaves_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        // As a process that was killed leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listen = Listen::Unix(path.clone());
        let open = listen.open().await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(open.address().unwrap(), Address::Unix(path.clone()));
        drop(open);
        assert!(!path.exists());
        std::fs::write(&path, "a file of somebody's").unwrap();
        let error = listen.open().await.unwrap_err().to_string();
        let starts = format!("listen unix {}: bind: ", path.display());
        assert!(error.starts_with(&starts), "{error}");
    }
}
