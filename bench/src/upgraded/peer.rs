//! What stands behind an upgraded connection, and what its caller does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use service_kit::tasks::Spawner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::lane::Lane;

/// As a terminal's line.
const MESSAGE: usize = 64;
const BUFFER: usize = 64 * 1024;

/// The first byte of a connection: what the peer does with it.
const ECHO: u8 = b'e';
const SOURCE: u8 = b's';
const SINK: u8 = b'k';

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    pub address: SocketAddr,
    _lane: Lane,
}

impl Peer {
    pub async fn start() -> Result<Self> {
        let (lane, address) = Lane::start("peer", |spawner| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let connections: Spawner = spawner.clone();
            spawner.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // A caller that goes away is a measurement's end.
                    connections.spawn(async move { drop(serve(stream).await) });
                }
            });
            Ok(address)
        })
        .await?;
        Ok(Self {
            address,
            _lane: lane,
        })
    }
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    match stream.read_u8().await? {
        ECHO => {
            let mut message = [0; MESSAGE];
            loop {
                stream.read_exact(&mut message).await?;
                stream.write_all(&message).await?;
            }
        }
        SOURCE => {
            let mut left = stream.read_u64().await?;
            let chunk = vec![b'x'; BUFFER];
            while left > 0 {
                let length = left.min(BUFFER as u64);
                stream.write_all(&chunk[..usize::try_from(length)?]).await?;
                left -= length;
            }
        }
        _ => {
            let received = read_all(&mut stream).await?;
            stream.write_u64(received).await?;
        }
    }
    Ok(stream.shutdown().await?)
}

async fn read_all(stream: &mut TcpStream) -> Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(total),
            length => total += length as u64,
        }
    }
}

/// Opens a connection on which messages come back.
pub async fn echo(entry: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(entry).await?;
    stream.set_nodelay(true)?;
    stream.write_u8(ECHO).await?;
    exchange(&mut stream).await?;
    Ok(stream)
}

async fn exchange(stream: &mut TcpStream) -> Result<()> {
    let mut message = [b'm'; MESSAGE];
    stream.write_all(&message).await?;
    stream.read_exact(&mut message).await?;
    Ok(())
}

/// Sends messages there and back for a time; gives how many.
pub async fn ping(mut stream: TcpStream, time: Duration) -> Result<u64> {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < time {
        exchange(&mut stream).await?;
        count += 1;
    }
    Ok(count)
}

/// From the peer.
pub async fn download(entry: SocketAddr, bytes: u64) -> Result<()> {
    let mut stream = TcpStream::connect(entry).await?;
    stream.write_u8(SOURCE).await?;
    stream.write_u64(bytes).await?;
    let received = read_all(&mut stream).await?;
    ensure!(received == bytes, "the download was cut");
    Ok(())
}

/// To the peer, which says how much came after a half-close.
pub async fn upload(entry: SocketAddr, bytes: u64) -> Result<()> {
    let mut stream = TcpStream::connect(entry).await?;
    stream.write_u8(SINK).await?;
    let chunk = vec![b'x'; BUFFER];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(BUFFER as u64);
        stream.write_all(&chunk[..usize::try_from(length)?]).await?;
        left -= length;
    }
    stream.shutdown().await?;
    ensure!(stream.read_u64().await? == bytes, "the upload was cut");
    Ok(())
}
