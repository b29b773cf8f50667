//! Names that are none, and addresses where nobody answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::report::{Row, told};

/// A port whose listener takes no more connections: the system drops what comes, as a
/// firewall does.
struct Full {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Full {
    async fn new() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(0)?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        // Until one hangs.
        while let Ok(stream) =
            timeout(Duration::from_millis(500), TcpStream::connect(address)).await
        {
            waiting.push(stream?);
        }
        Ok(Self {
            address,
            _listener: listener,
            _waiting: waiting,
        })
    }
}

pub(crate) async fn addresses_that_lead_nowhere(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let full = Full::new().await?;
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        listener.local_addr()?.port()
    };
    let rows = [
        Row::to(
            "no such name",
            "https://nowhere.invalid",
            "resolve",
            &["cannot resolve nowhere.invalid", "this machine's DNS"],
        ),
        Row::to(
            "nobody listens",
            format!("https://localhost:{closed}"),
            "connect",
            &["cannot connect to ", "check the address and the port"],
        ),
        Row::to(
            "filtered",
            format!("https://{}", full.address),
            "connect",
            &["does not answer", "a firewall drops", "HTTPS_PROXY"],
        ),
        Row::to(
            "no route",
            "https://[2001:db8::1]",
            "connect",
            &[
                "cannot connect to [2001:db8::1]:443",
                "no route leads there",
            ],
        ),
        Row::to(
            "no URL",
            "https://user:x@localhost",
            "settings",
            &["--server"],
        ),
        Row::to(
            "plain http",
            "http://localhost",
            "settings",
            &["only https"],
        ),
    ];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}
