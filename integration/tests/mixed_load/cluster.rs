//! An API server of the test's own: what it answers can be told from its beginning.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

/// Bytes of a bulk answer.
pub(crate) const BULK: usize = 4 << 20;
/// Between two events of a watch.
const EVENTS: Duration = Duration::from_millis(20);
const CHUNK: usize = 32 << 10;

type Body = BoxBody<Bytes, Infallible>;

/// Runs until it is dropped.
pub(crate) struct Cluster {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Cluster {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            _serving: serving,
        })
    }
}

async fn serve(stream: TcpStream) {
    let (sender, mut switched) = mpsc::channel(1);
    let service = service_fn(move |request| answer(request, sender.clone()));
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // Whose caller is killed is no fault here.
    drop(connection.await);
    if let Some(switch) = switched.recv().await {
        echo(switch).await;
    }
}

async fn echo(switch: OnUpgrade) {
    if let Ok(io) = switch.await {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(io));
        drop(copy(&mut read, &mut write).await);
    }
}

async fn answer(
    mut request: Request<Incoming>,
    switch: mpsc::Sender<OnUpgrade>,
) -> Result<Response<Body>, Infallible> {
    if request.headers().contains_key("upgrade") {
        drop(switch.send(hyper::upgrade::on(&mut request)).await);
        let mut response = Response::new(Full::default().boxed());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert("connection", http::HeaderValue::from_static("Upgrade"));
        headers.insert("upgrade", http::HeaderValue::from_static("websocket"));
        return Ok(response);
    }
    let query = request.uri().query().unwrap_or_default();
    Ok(Response::new(match request.uri().path() {
        _ if query.contains("watch=true") => events(),
        "/bulk" => bulk(),
        _ => Full::from("ok").boxed(),
    }))
}

/// Numbered lines without end.
fn events() -> Body {
    let events = stream::unfold(
        (0_u64, interval(EVENTS)),
        |(number, mut ticks)| async move {
            ticks.tick().await;
            let line = Bytes::from(format!("{number}\n"));
            Some((Ok(Frame::data(line)), (number + 1, ticks)))
        },
    );
    BodyExt::boxed(StreamBody::new(events))
}

/// Of a length that is not announced, so that only the framing tells its end; and slow
/// enough that a kill meets it.
fn bulk() -> Body {
    let chunks = stream::iter(0..BULK / CHUNK).then(|number| async move {
        sleep(Duration::from_millis(1)).await;
        let byte = u8::try_from(number % 251).unwrap_or_default();
        Ok(Frame::data(Bytes::from(vec![byte; CHUNK])))
    });
    BodyExt::boxed(StreamBody::new(chunks))
}

/// Whether these are a bulk answer's bytes from `at` on.
pub(crate) fn is_bulk(at: usize, bytes: &[u8]) -> bool {
    let expected = |at: usize| u8::try_from(at / CHUNK % 251).unwrap_or_default();
    bytes
        .iter()
        .enumerate()
        .all(|(more, byte)| *byte == expected(at + more))
}
