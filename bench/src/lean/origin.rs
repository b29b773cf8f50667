//! An HTTP/1.1 origin whose answers are made beforehand.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use httparse::{EMPTY_HEADER, Request, Status};
use service_kit::tasks::Spawner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::lane::Lane;
use crate::origin::{BULK, BULK_BYTES, HEADERS, SMALL_BYTES};

/// Of a request's head.
const HEAD: usize = 16 * 1024;
const HEADER_LINES: usize = 64;
const CHUNK: usize = 256 * 1024;
static DATA: [u8; CHUNK] = [b'x'; CHUNK];

/// A running origin, which answers each GET: [`BULK`] with [`BULK_BYTES`], every
/// other path with a small object.
#[derive(Debug)]
pub struct Origin {
    pub address: SocketAddr,
    pub lane: Lane,
}

impl Origin {
    pub async fn start() -> Result<Self> {
        let (lane, address) = Lane::start("lean-origin", |spawner| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            spawner.clone().spawn(accept(listener, spawner));
            Ok(address)
        })
        .await?;
        Ok(Self { address, lane })
    }
}

struct Answers {
    small: Vec<u8>,
    bulk_head: Vec<u8>,
}

async fn accept(listener: TcpListener, connections: Spawner) {
    let mut small = head(SMALL_BYTES as u64);
    small.extend(&DATA[..SMALL_BYTES]);
    let answers = Arc::new(Answers {
        small,
        bulk_head: head(BULK_BYTES),
    });
    while let Ok((stream, _)) = listener.accept().await {
        let answers = answers.clone();
        connections.spawn(async move {
            // A caller that goes away is a measurement's end.
            drop(serve(stream, &answers).await);
        });
    }
}

fn head(length: u64) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    );
    for (name, value) in HEADERS {
        // Into a string: this cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

async fn serve(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; HEAD];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some((length, is_bulk)) = request(&buffer[..filled])? {
            buffer.copy_within(length..filled, 0);
            filled -= length;
            if is_bulk {
                stream.write_all(&answers.bulk_head).await?;
                for _ in 0..BULK_BYTES / CHUNK as u64 {
                    stream.write_all(&DATA).await?;
                }
            } else {
                stream.write_all(&answers.small).await?;
            }
        }
    }
}

/// The length of a whole request, and whether it asks for [`BULK`].
fn request(bytes: &[u8]) -> io::Result<Option<(usize, bool)>> {
    let mut headers = [EMPTY_HEADER; HEADER_LINES];
    let mut request = Request::new(&mut headers);
    let parsed = request.parse(bytes).map_err(io::Error::other)?;
    match (parsed, request.method) {
        // It would have a body.
        (_, Some(method)) if method != "GET" => Err(io::ErrorKind::Unsupported.into()),
        (Status::Complete(length), _) => Ok(Some((length, request.path == Some(BULK)))),
        (Status::Partial, _) => Ok(None),
    }
}
