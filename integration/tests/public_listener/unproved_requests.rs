//! Requests that prove nothing, in great numbers: they fill neither the disk nor the
//! log, and the connection ends.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, Chain, SOON};
use integration::environment::Environment;
use integration::server_config::new_token;
use serde_json::Value;
use tunnel_protocol::limits::HANDSHAKE_PATH;
use tunnel_protocol::token::TokenKind;

use crate::bystander::{Bystander, PATH, caller_from};
use crate::h2_stranger::{Ask, Stranger};
use crate::limits::limit;

const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// `limits.perAddress.unprovedRequestsPerMinute` by default.
const A_MINUTE: usize = 300;
const UNWRITTEN: &str = "tunnel_server_unproved_requests_unwritten_total";

/// The lines of an audit log that are a stranger's own.
fn strangers(lines: &[Value]) -> usize {
    let from = format!("{FROM}:");
    let is_theirs = |line: &&Value| {
        let address = line["clientAddress"].as_str();
        address.is_some_and(|address| address.starts_with(&from)) && line["caller"].is_null()
    };
    lines.iter().filter(is_theirs).count()
}

pub(crate) fn lines_of(file: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// A handshake without anything that belongs to one. Tells the status, if any came.
async fn bad_handshake(chain: &Chain) -> Result<String> {
    let mut connection = chain.raw_caller_from(FROM, b"http/1.1").await?;
    let head = format!("GET {HANDSHAKE_PATH} HTTP/1.1\r\nHost: {BASE_DOMAIN}\r\n\r\n");
    connection.send(head).await?;
    let head = connection.head().await?;
    Ok(head.split(' ').nth(1).unwrap_or_default().to_owned())
}

pub(crate) async fn many_refusals_fill_neither_disk_nor_log(
    environment: Arc<Environment>,
) -> Result<()> {
    const ROUNDS: usize = 15;
    const AT_ONCE: u32 = 100;
    let mut options = environment.options().await?;
    options.server_arguments = ["--audit-log", "audit.log"].map(str::to_owned).to_vec();
    let mut chain = environment.chain_with(options).await?;
    let audit = chain.folder().join("audit.log");
    let bystander = Bystander::arrives(&chain).await?;
    let bad = new_token(TokenKind::Access);
    let asks = [
        Ask::of("other.example", PATH),
        Ask::of(chain.host(), PATH).with(bad.expose()),
        Ask::of(chain.host(), "/a/../b"),
        Ask::of(BASE_DOMAIN, "/nowhere"),
    ];
    let started = Instant::now();
    let flood = async {
        let mut answered = 0;
        for _ in 0..ROUNDS {
            for ask in &asks {
                let mut stranger = Stranger::comes(&chain, FROM, &[]).await?;
                stranger.asks(ask, AT_ONCE).await;
                stranger.gets(AT_ONCE).await?;
                answered += stranger.seen.answers as usize;
            }
            let status = bad_handshake(&chain).await?;
            ensure!(["400", "429"].contains(&&*status), "{status}");
            answered += 1;
        }
        Ok(answered)
    };
    let answered = bystander.meanwhile(&chain, flood).await?;
    let neighbour = caller_from(&chain, FROM)?;
    let url = format!("{}{PATH}", chain.url_by_host());
    neighbour.get(&url).send().await?.error_for_status()?;
    let unwritten = chain.server.metric(UNWRITTEN).await?.context("no metric")?;

    let seconds = usize::try_from(started.elapsed().as_secs())? + 1;
    let may = A_MINUTE + A_MINUTE * seconds / 60;
    bystander.leaves(&chain).await?;
    chain.server.terminate()?;
    chain.server.ended(SOON * 3).await?;
    let lines = lines_of(&audit)?;
    let own = strangers(&lines);
    println!("of {answered} refusals in {seconds} s {own} have a line, {unwritten} have none");
    ensure!(answered > 2 * may, "only {answered} were answered");
    ensure!(own <= may, "{own} lines of strangers");
    ensure!(
        own + unwritten as usize >= answered,
        "some were not counted"
    );
    // They have a line together.
    let together = lines.iter().filter(|line| line["event"] == "unwritten");
    let together: Vec<_> = together.collect();
    let told: f64 = together
        .iter()
        .filter_map(|line| line["requests"].as_f64())
        .sum();
    ensure!(told == unwritten, "{told} of {unwritten}: {together:?}");
    ensure!(
        together
            .iter()
            .all(|line| line["address"] == FROM.to_string())
    );
    // Whoever proves itself has each of its lines.
    let neighbours = |line: &&Value| {
        !line["caller"].is_null()
            && line["clientAddress"]
                .as_str()
                .is_some_and(|from| from.starts_with("127.0.0.2:"))
    };
    ensure!(lines.iter().filter(neighbours).count() == 1);
    chain.stop().await
}

pub(crate) async fn bad_handshakes_fill_no_log(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    limit(&mut chain, "perAddress", "unprovedRequestsPerMinute", 5).await?;
    let bystander = Bystander::arrives(&chain).await?;
    let started = Instant::now();
    let storm = async {
        let mut answers = Vec::new();
        for _ in 0..100 {
            answers.push(bad_handshake(&chain).await?);
        }
        Ok(answers)
    };
    let answers = bystander.meanwhile(&chain, storm).await?;
    let may = 5 + usize::try_from(started.elapsed().as_secs())? / 12 + 1;
    let read = answers.iter().filter(|status| *status == "400").count();
    ensure!((5..=may).contains(&read), "{answers:?}");
    ensure!(
        answers
            .iter()
            .all(|status| ["400", "429"].contains(&&**status))
    );
    let lines = chain.server.log_lines();
    let told = lines
        .iter()
        .filter(|line| line["message"] == "handshake refused");
    ensure!(told.count() == read, "each is logged");
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// `Connection: close` says nothing over HTTP/2.
pub(crate) async fn too_many_refusals_end_an_http2_connection(
    environment: Arc<Environment>,
) -> Result<()> {
    const REQUESTS: u32 = 500;
    let mut chain = environment.chain().await?;
    let bad = new_token(TokenKind::Access);
    let cases = [
        (
            "failuresPerMinute",
            Ask::of(chain.host(), PATH).with(bad.expose()),
        ),
        ("unprovedRequestsPerMinute", Ask::of("other.example", PATH)),
        ("unprovedRequestsPerMinute", Ask::of(BASE_DOMAIN, "/")),
    ];
    // A number of its own for each, so that nothing of it is used up.
    for ((setting, ask), count) in cases.into_iter().zip(3..) {
        limit(&mut chain, "perAddress", setting, count).await?;
        let mut stranger = Stranger::comes(&chain, FROM, &[]).await?;
        for number in 1..=REQUESTS {
            stranger.asks(&ask, 1).await;
            stranger.gets(number).await?;
        }
        let seen = stranger.seen;
        println!("{setting}: {seen:?}");
        ensure!(seen.goodbye && seen.ended, "{setting}: {seen:?}");
        ensure!(
            (count + 1..20).contains(&seen.answers),
            "{setting}: {seen:?}"
        );
    }
    chain.stop().await
}
