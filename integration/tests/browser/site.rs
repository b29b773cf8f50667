//! A web site that remembers what it was asked for, and gives all it has to any
//! page of any origin: as a hostile site, as a hostile cluster, and as what shows
//! that an attack works where nothing protects.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use futures_util::SinkExt;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, ORIGIN};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// What nobody else may read.
pub(crate) const SECRET: &str = "the contents of a cluster";

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// A page: status, headers, body.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
}

impl Page {
    pub(crate) fn html(body: &str) -> Self {
        Self::of("text/html; charset=utf-8", body)
    }

    pub(crate) fn of(kind: &'static str, body: &str) -> Self {
        Self {
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static(kind))],
            body: body.to_owned(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        let line = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        self.headers.push(line);
        self
    }
}

/// Runs until it is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    _serving: JoinSet<()>,
}

struct Inner {
    pages: BTreeMap<&'static str, Page>,
    asked: Mutex<Vec<Asked>>,
    sockets: Mutex<JoinSet<()>>,
}

impl Site {
    /// With TLS where there is a certificate.
    pub(crate) async fn start(
        tls: Option<TlsAcceptor>,
        pages: BTreeMap<&'static str, Page>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            pages,
            asked: Mutex::default(),
            sockets: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, tls, inner.clone()));
        Ok(Self {
            address,
            inner,
            _serving: serving,
        })
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.inner.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked for below a path.
    pub(crate) fn asked_below(&self, path: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|one| one.path.starts_with(path));
        asked
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, inner) = (tls.clone(), inner.clone());
        connections.spawn(async move {
            // A connection that fails is its browser's to notice.
            match tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        drop(serve(stream, inner).await);
                    }
                }
                None => drop(serve::<TcpStream>(stream, inner).await),
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<S>(stream: S, inner: Arc<Inner>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let inner = inner.clone();
        async move { Ok::<_, Infallible>(inner.answer(request).await) }
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
}

impl Inner {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let header = |name: &str| request.headers().get(name).cloned();
        let (origin, asked_headers) = (
            header(ORIGIN.as_str()),
            header("access-control-request-headers"),
        );
        let mut response = match header("sec-websocket-key") {
            Some(key) => self.socket(&mut request, &key),
            None => self.page(&request),
        };
        // Any page of any origin may have it, credentials and all.
        let headers = response.headers_mut();
        let any = HeaderValue::from_static;
        headers.insert(
            "access-control-allow-origin",
            origin.unwrap_or(any("https://evil.test")),
        );
        headers.insert("access-control-allow-credentials", any("true"));
        headers.insert(
            "access-control-allow-methods",
            any("GET, POST, PUT, PATCH, DELETE"),
        );
        if let Some(asked) = asked_headers {
            headers.insert("access-control-allow-headers", asked);
        }
        self.remember(request).await;
        response
    }

    async fn remember(&self, request: Request<Incoming>) {
        let (parts, body) = request.into_parts();
        let host = parts.headers.get("host").map(HeaderValue::as_bytes);
        let asked = Asked {
            method: parts.method,
            host: String::from_utf8_lossy(host.unwrap_or_default()).into_owned(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
        };
        // Nothing in it is looked at; it is just to have come.
        drop(body.collect().await);
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(asked);
    }

    fn page<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let mut response = match self.pages.get(path) {
            Some(page) => {
                let mut response = Response::new(Full::from(page.body.clone()));
                response.headers_mut().extend(page.headers.iter().cloned());
                response
            }
            None => contents(path),
        };
        let leads_to = query.and_then(|query| query.strip_prefix("to="));
        if let Some(to) = leads_to.and_then(|to| HeaderValue::from_str(to).ok()) {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(LOCATION, to);
        }
        response
    }

    /// Opens a WebSocket and says the secret.
    fn socket(&self, request: &mut Request<Incoming>, key: &HeaderValue) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert("connection", HeaderValue::from_static("Upgrade"));
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
            headers.insert("sec-websocket-accept", accept);
        }
        if let Some(protocols) = request.headers().get("sec-websocket-protocol") {
            let first = protocols.to_str().unwrap_or_default().split(',').next();
            if let Ok(first) = HeaderValue::from_str(first.unwrap_or_default()) {
                headers.insert("sec-websocket-protocol", first);
            }
        }
        let upgrade = hyper::upgrade::on(request);
        let says = async move {
            if let Ok(io) = upgrade.await {
                let io = TokioIo::new(io);
                let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
                drop(socket.send(Message::text(SECRET)).await);
                drop(socket.close(None).await);
            }
        };
        let sockets = self.sockets.lock();
        sockets.unwrap_or_else(PoisonError::into_inner).spawn(says);
        response
    }
}

/// The secret, in the form that the last word of the path asks for.
fn contents(path: &str) -> Response<Full<Bytes>> {
    let word = path.rsplit('/').next().unwrap_or_default();
    let (kind, body) = if word.contains("script") {
        (
            "text/javascript",
            format!("globalThis.leaked = {SECRET:?};"),
        )
    } else if word.contains("event") {
        ("text/event-stream", format!("data: {SECRET}\n\n"))
    } else if word.contains("style") {
        ("text/css", format!(":root {{ --leaked: {SECRET:?}; }}"))
    } else if word.contains("frame") || word.contains("tab") {
        ("text/html", format!("<!doctype html><p>{SECRET}"))
    } else {
        ("application/json", SECRET.to_owned())
    };
    let mut response = Response::new(Full::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
