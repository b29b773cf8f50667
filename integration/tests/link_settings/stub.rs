//! In the sidecar's place: an upstream whose answers a test picks by path.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What an endless answer is made of.
const PIECE: usize = 64 * 1024;

/// The kernel's buffer of a connection, bytes.
const RECEIVED: u32 = 64 * 1024;

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// What the stub has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests that are open now.
    open: AtomicUsize,
    /// All that ever came.
    all: AtomicUsize,
    read: AtomicUsize,

    /// Cancelled when what was not taken is to be read: a peer that does not read
    /// does not see that its connection has ended.
    pub(crate) read_on: CancellationToken,
}

impl Seen {
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn all(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that were read.
    pub(crate) fn read(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }
}

/// Counts a request while it is open.
struct Open(Arc<Seen>);

impl Open {
    fn new(seen: Arc<Seen>) -> Self {
        seen.open.fetch_add(1, Ordering::SeqCst);
        seen.all.fetch_add(1, Ordering::SeqCst);
        Self(seen)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs until it is dropped.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

impl Stub {
    pub(crate) async fn start() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // What the kernel takes nobody has to wait for.
        socket.set_recv_buffer_size(RECEIVED)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(1024)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, seen.clone()));
        Ok(Self {
            address,
            seen,
            _serving: serving,
        })
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        drop(stream.set_nodelay(true));
        let seen = seen.clone();
        let service = service_fn(move |request| answer(request, seen.clone()));
        let mut http = http1::Builder::new();
        http.max_headers(2000).auto_date_header(false);
        connections.spawn(async move {
            // A connection that breaks is its caller's to notice.
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<AnyBody>, Infallible> {
    if request.method() == Method::OPTIONS {
        // tunnel-client looks whether it is there.
        return Ok(Response::new(text(String::new())));
    }
    let open = Open::new(seen.clone());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = match request.uri().path() {
        // Longer than anybody waits.
        "/stream" => Endless::body(open),
        "/watch" => Quiet::body(open, std::future::pending()),
        // The same, and takes nothing of its body.
        "/watch-and-sink" => Quiet::body(open, async move {
            seen.read_on.cancelled().await;
            read(request.into_body(), &seen).await;
        }),
        "/silence" => {
            let _open = open;
            std::future::pending().await
        }
        // Takes nothing of its body.
        "/sink" => {
            let _open = open;
            seen.read_on.cancelled().await;
            read(request.into_body(), &seen).await
        }
        "/length" => read(request.into_body(), &seen).await,
        "/heads" => return Ok(heads(&query, text(lines_that_came(&request)))),
        "/head-and-watch" => {
            let quiet = Quiet::body(open, std::future::pending());
            return Ok(heads(&query, quiet));
        }
        _ => text("ok".to_owned()),
    };
    Ok(Response::new(body))
}

/// Header lines, and bytes of them.
fn lines_that_came(request: &Request<Incoming>) -> String {
    let lines = || {
        let headers = request.headers().iter();
        headers.filter(|(name, _)| name.as_str().starts_with("x-fill"))
    };
    let bytes: usize = lines().map(|(_, value)| value.len()).sum();
    format!("{} {bytes}", lines().count())
}

/// Answers with as many header lines as `lines=…&each=…` asks for.
fn heads(query: &str, body: AnyBody) -> Response<AnyBody> {
    let number = |key: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(key));
        pair.and_then(|value| value.parse::<usize>().ok())
            .unwrap_or_default()
    };
    let mut response = Response::new(body);
    let value = HeaderValue::from_bytes(&vec![b'y'; number("each=")]);
    for line in 0..number("lines=") {
        let name = HeaderName::try_from(format!("x-fill-{line}"));
        if let (Ok(name), Ok(value)) = (name, &value) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// How much comes.
async fn read(mut body: Incoming, seen: &Seen) -> AnyBody {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        seen.read.fetch_add(read, Ordering::SeqCst);
        length += read;
    }
    text(length.to_string())
}

fn text(text: String) -> AnyBody {
    Full::from(text).boxed_unsync()
}

/// As much as is asked for.
struct Endless {
    _open: Open,
}

impl Endless {
    fn body(open: Open) -> AnyBody {
        Self { _open: open }.boxed_unsync()
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static ZEROS: [u8; PIECE] = [0; PIECE];
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS)))))
    }
}

/// Says one word, and then nothing until its end.
struct Quiet {
    said: bool,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    _open: Open,
}

impl Quiet {
    fn body(open: Open, end: impl Future<Output = ()> + Send + 'static) -> AnyBody {
        Self {
            said: false,
            end: Box::pin(end),
            _open: open,
        }
        .boxed_unsync()
    }
}

impl Body for Quiet {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.said, true) {
            return self.end.as_mut().poll(cx).map(|()| None);
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first\n")))))
    }
}
