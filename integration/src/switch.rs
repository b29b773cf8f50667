//! A TCP relay whose target can be changed: a load balancer in front of servers
//! that come and go. Connections that are open stay where they are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Runs until it is dropped.
pub struct Switch {
    pub address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    _serving: JoinSet<()>,
}

impl Switch {
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let target = Arc::new(Mutex::new(target));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, target.clone()));
        Ok(Self {
            address,
            target,
            _serving: serving,
        })
    }

    /// New connections go there.
    pub fn to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

async fn serve(listener: TcpListener, target: Arc<Mutex<SocketAddr>>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
        connections.spawn(async move {
            if let Ok(mut there) = TcpStream::connect(target).await {
                // A connection that fails is its ends' to notice.
                drop(copy_bidirectional(&mut stream, &mut there).await);
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
