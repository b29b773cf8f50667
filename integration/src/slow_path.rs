//! A long way to a server: a TCP proxy that delivers what it is given later, and no
//! faster than a line of some rate carries it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What is read at once, bytes.
const PIECE: usize = 16 << 10;
/// What a system keeps of a connection before the line, bytes: senders are to wait
/// for the line as they do for a router with a short queue.
const KEPT: u32 = 64 << 10;
/// How long a queue the line has.
const QUEUE: Duration = Duration::from_millis(10);
/// Pieces on their way, at most: 64 MiB.
const UNDER_WAY: usize = 4096;

/// What lies between.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub round_trip: Duration,
    /// Bits a second of each direction; nothing is no limit.
    pub rate: Option<u64>,
}

/// Runs until it is dropped.
pub struct SlowPath {
    pub address: SocketAddr,
    _serving: JoinSet<()>,
}

/// One direction, which all connections share.
struct Line {
    delay: Duration,
    rate: Option<u64>,
    /// When all that was given so far has left.
    free: Mutex<Instant>,
}

impl SlowPath {
    /// To a server.
    pub async fn start(server: SocketAddr, way: Way) -> Result<Self> {
        Self::start_at("127.0.0.1:0".parse()?, server, way).await
    }

    /// To a server, from an address of this machine.
    pub async fn start_at(from: SocketAddr, server: SocketAddr, way: Way) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(KEPT)?;
        socket.bind(from)?;
        let listener = socket.listen(128)?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server, way));
        Ok(Self {
            address,
            _serving: serving,
        })
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, way: Way) {
    let line = || {
        Arc::new(Line {
            delay: way.round_trip / 2,
            rate: way.rate,
            free: Mutex::new(Instant::now()),
        })
    };
    let lines = (line(), line());
    let mut open = JoinSet::new();
    while let Ok((caller, _)) = listener.accept().await {
        let (there, back) = lines.clone();
        open.spawn(async move { drop(connect(caller, server, &there, &back).await) });
        while open.try_join_next().is_some() {}
    }
}

/// An error of either direction ends both, at once.
async fn connect(caller: TcpStream, server: SocketAddr, there: &Line, back: &Line) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(KEPT)?;
    let server = socket.connect(server).await?;
    caller.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_caller, to_caller) = caller.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        there.carry(from_caller, to_server),
        back.carry(from_server, to_caller)
    )?;
    Ok(())
}

impl Line {
    async fn carry(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<()> {
        let (give, mut take) = mpsc::channel::<(Instant, BytesMut)>(UNDER_WAY);
        let giving = async move {
            loop {
                let mut piece = BytesMut::with_capacity(PIECE);
                let length = from.read_buf(&mut piece).await?;
                let left = self.left(length);
                // The queue is full until then.
                sleep_until(left - QUEUE).await;
                if length == 0 || give.send((left + self.delay, piece)).await.is_err() {
                    return anyhow::Ok(left + self.delay);
                }
            }
        };
        let taking = async move {
            while let Some((arrives, piece)) = take.recv().await {
                sleep_until(arrives).await;
                to.write_all(&piece).await?;
            }
            anyhow::Ok(to)
        };
        let (end, mut to) = tokio::try_join!(giving, taking)?;
        sleep_until(end).await;
        Ok(to.shutdown().await?)
    }

    /// When so many bytes more have left.
    fn left(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.rate else { return now };
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(now) + takes;
        *free
    }
}
