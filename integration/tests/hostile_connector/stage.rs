//! A chain with two clusters: `prod` in front of an upstream of the test's, with
//! a caller who has a watch open, and `evil`, whose connector is the test.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, CLUSTER, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::http2_frames::{flag, headers};
use integration::server_config::new_token;
use integration::wait::until;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tunnel_protocol::token::{Token, TokenKind};

/// The hostile cluster.
pub(crate) const EVIL: &str = "evil";
/// What the hostile connector answers when it behaves.
pub(crate) const EVILS_ANSWER: &str = "evil's";
/// What `prod` answers.
const PRODS_ANSWER: &str = "prod's";
/// How long a cluster may take for its answer's head here.
const RESPONSE_TIMEOUT: &str = "2";
/// What one hostile cluster may make the server grow by in any of these tests,
/// bytes. The largest that one stream may hold is its window and some header
/// blocks, 5 MiB; the rest is the allocator's, and the callers' own.
pub(crate) const GROWTH: u64 = 64 * 1024 * 1024;

/// What the server may log at its most talkative in any of these tests, bytes:
/// some lines for each link and request, none for a frame.
const LOG: usize = 4 << 20;

pub(crate) struct Stage {
    pub(crate) chain: Chain,
    pub(crate) evils_token: Token,
    victims_token: Token,
    victim: Client,
    prods_caller: Client,
    ticks: Arc<AtomicU64>,
    grown_from: u64,
    _tasks: JoinSet<()>,
}

impl Stage {
    pub(crate) async fn set(environment: &Environment) -> Result<Self> {
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let options = ChainOptions {
            upstream: Some(listener.local_addr()?),
            server_arguments: ["--response-timeout-seconds", RESPONSE_TIMEOUT]
                .map(str::to_owned)
                .to_vec(),
            ..ChainOptions::bare()
        };
        tasks.spawn(upstream(listener));
        let mut chain = environment.chain_with(options).await?;

        let (evils_token, victims_token) = (
            new_token(TokenKind::Connector),
            new_token(TokenKind::Access),
        );
        let secrets = &environment.secrets;
        secrets.add("evil's connector token", evils_token.expose());
        secrets.add("the victim's access token", victims_token.expose());
        chain.config.cluster(EVIL, &[&evils_token]);
        // May call both, so that answers can be told apart on one connection.
        chain
            .config
            .caller("victim", &[EVIL, CLUSTER], &[&victims_token]);
        chain.write_config()?;
        until("the second cluster", SOON, || async {
            let taken = |line: &serde_json::Value| {
                line["message"] == "configuration taken over" && line["clusters"] == 2
            };
            Ok(chain.server.log_lines().iter().any(taken).then_some(()))
        })
        .await?;

        let prods_caller = chain.caller()?;
        let watch = prods_caller.get(format!("{}/watch?watch=1", chain.url_by_host()));
        let mut watch = watch.send().await?.error_for_status()?;
        let ticks = Arc::new(AtomicU64::new(0));
        let counting = ticks.clone();
        tasks.spawn(async move {
            while let Ok(Some(chunk)) = watch.chunk().await {
                counting.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
        });
        let stage = Self {
            victim: victim(&chain, &victims_token)?,
            grown_from: chain.server.resident_memory()?,
            chain,
            evils_token,
            victims_token,
            prods_caller,
            ticks,
            _tasks: tasks,
        };
        stage.others_are_served().await?;
        Ok(stage)
    }

    /// `evil`'s API, by hostname.
    fn evils_url(&self) -> String {
        format!(
            "https://{EVIL}.{BASE_DOMAIN}:{}",
            self.chain.server_address.port()
        )
    }

    /// The victim's credential, as it is sent.
    pub(crate) fn victims_bearer(&self) -> String {
        format!("Bearer {}", self.victims_token.expose())
    }

    /// The victim's request line, token and `lines`, for a connection byte by byte.
    pub(crate) fn raw_request(&self, method: &str, cluster: &str, lines: &str) -> String {
        format!(
            "{method} /clusters/{cluster}/x HTTP/1.1\r\nHost: {BASE_DOMAIN}\r\nAuthorization: {}\r\n{lines}\r\n",
            self.victims_bearer()
        )
    }

    /// The victim's request to `evil` as an HTTP/2 frame.
    pub(crate) fn request_over_http2(&self, stream: u32) -> Vec<u8> {
        let token = self.victims_bearer();
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", BASE_DOMAIN),
            (":path", "/clusters/evil/x"),
            ("authorization", token.as_str()),
        ];
        headers(stream, flag::END_STREAM, &fields)
    }

    /// A request to `evil`. Its head comes within its deadline.
    pub(crate) async fn call(&self, method: Method, body: Vec<u8>) -> Result<Answer> {
        let request = self
            .victim
            .request(method, format!("{}/x", self.evils_url()));
        let response = timeout(SOON, request.body(body).send())
            .await
            .context("evil's caller hangs")?;
        let response = match response {
            Ok(response) => response,
            Err(error) => return Ok(Answer::cut(error)),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // A body may be a flood of a million frames.
        let body = timeout(SOON * 10, response.text())
            .await
            .context("evil's body hangs")?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    pub(crate) async fn get(&self) -> Result<Answer> {
        self.call(Method::GET, Vec::new()).await
    }

    /// `prod`'s watch goes on, and a new request is answered.
    pub(crate) async fn others_are_served(&self) -> Result<()> {
        let before = self.ticks.load(Ordering::Relaxed);
        let request = self
            .prods_caller
            .get(format!("{}/new", self.chain.url_by_host()));
        let answer = timeout(SOON, request.send())
            .await
            .context("prod hangs")??;
        let text = timeout(SOON, answer.text())
            .await
            .context("prod's body hangs")??;
        ensure!(text == PRODS_ANSWER, "prod's caller got {text:?}");
        until("the next event of prod's watch", SOON, || async {
            Ok((self.ticks.load(Ordering::Relaxed) > before).then_some(()))
        })
        .await
    }

    /// Does something while the others are served, again and again.
    pub(crate) async fn meanwhile<T>(&self, does: impl Future<Output = Result<T>>) -> Result<T> {
        let others = async {
            loop {
                self.others_are_served().await?;
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            done = does => done,
            failed = others => failed,
        }
    }

    /// What has to hold in the end of each test.
    pub(crate) async fn end(self) -> Result<()> {
        self.others_are_served().await?;
        let grown = self
            .chain
            .server
            .peak_memory()?
            .saturating_sub(self.grown_from);
        println!("the server grew by {} KiB at most", grown / 1024);
        ensure!(grown < GROWTH, "the server grew by {grown} bytes");
        let log = std::fs::read_to_string(self.chain.server.log())?;
        println!("the server logged {} KiB", log.len() / 1024);
        ensure!(
            log.len() < LOG,
            "strangers fill the log: {} bytes",
            log.len()
        );
        self.chain.server.must_not_have_panicked()?;
        self.chain.stop().await
    }
}

/// What a caller of `evil` got; a status of 0 stands for none.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: reqwest::Result<String>,
}

impl fmt::Debug for Answer {
    /// Not all of what may be large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.headers.get("culvert-error");
        let body = self
            .body
            .as_ref()
            .map(|body| body.chars().take(300).collect::<String>());
        write!(f, "{} {code:?} {body:?}", self.status)
    }
}

impl Answer {
    /// Over HTTP/2 a reset may overtake the head of an answer that had begun.
    fn cut(error: reqwest::Error) -> Self {
        Self {
            status: 0,
            headers: HeaderMap::new(),
            body: Err(error),
        }
    }

    /// An answer that had begun, and then was cut.
    pub(crate) fn must_be_cut(&self) -> Result<()> {
        ensure!(self.body.is_err(), "it looks whole: {self:?}");
        Ok(())
    }

    /// The tunnel's own word that the cluster gave no answer.
    pub(crate) fn must_be_a_refusal(&self) -> Result<()> {
        let code = self.headers.get("culvert-error");
        let body = self.body.as_deref().unwrap_or_default();
        ensure!(
            matches!(self.status, 502..=504)
                && code.is_some()
                && body.contains("\"kind\":\"Status\""),
            "no refusal: {self:?}"
        );
        Ok(())
    }

    /// What the hostile connector answers when it behaves.
    pub(crate) fn must_be_evils_own(&self) -> Result<()> {
        let body = self.body.as_deref().unwrap_or_default();
        ensure!(self.status == 200 && body == EVILS_ANSWER, "{self:?}");
        Ok(())
    }

    /// One of both.
    pub(crate) fn must_be_in_order(&self) -> Result<()> {
        self.must_be_a_refusal()
            .or_else(|_| self.must_be_evils_own())
    }
}

fn victim(chain: &Chain, token: &Token) -> Result<Client> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
    value.set_sensitive(true);
    let headers = [(AUTHORIZATION, value)].into_iter().collect();
    let client = chain
        .http()
        .resolve(&format!("{EVIL}.{BASE_DOMAIN}"), chain.server_address)
        // What the server lets pass is not this client's to refuse.
        .http2_max_header_list_size(1 << 20)
        .default_headers(headers);
    Ok(client.build()?)
}

/// `prod`'s: a watch that goes on for ever, and an answer to everything else.
async fn upstream(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move { drop(answer(stream).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "no request");
    }
    if !head.starts_with(b"GET /watch") {
        let length = PRODS_ANSWER.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{PRODS_ANSWER}"
        );
        return Ok(stream.write_all(answer.as_bytes()).await?);
    }
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head).await?;
    loop {
        stream.write_all(b"1\r\n.\r\n").await?;
        sleep(Duration::from_millis(20)).await;
    }
}
