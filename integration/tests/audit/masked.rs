//! What callers write where it does not belong is not repeated.

use std::sync::Arc;

use anyhow::{Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use integration::chain::ChainOptions;
use integration::environment::Environment;
use integration::played_cluster;
use integration::server_config::new_token;
use serde_json::json;
use tunnel_protocol::token::TokenKind;

use crate::lines;

pub(crate) async fn nothing_secret_is_shown(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let token = new_token(TokenKind::Access);
    let jwt = format!(
        "eyJhbGciOiJSUzI1NiJ9.{}.c2ln",
        BASE64URL_NOPAD.encode(&rand::random::<[u8; 24]>())
    );
    let of_gitlab = format!("glpat-{:020x}", rand::random::<u64>());
    for (what, secret) in [
        ("a token", token.expose()),
        ("a JWT", &jwt),
        ("GitLab's", &of_gitlab),
    ] {
        environment
            .secrets
            .add(format!("{what} in the wrong place"), secret);
    }
    let secret = token.expose();
    let serve = async || {
        let (mut connection, _) = cluster.request().await?;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await
    };
    let target = format!(
        "/api/v1/namespaces/{of_gitlab}/pods/a?watch=0&access_token={secret}&labelSelector=app%3D{jwt}&limit=5&{jwt}"
    );
    let agent = format!(
        "User-Agent: tool/1 ({secret}) \"quoted\\\" \t é {}\r\n",
        "x".repeat(1000)
    );
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "GET", &target, &agent))
        .await?;
    serve().await?;
    caller.head().await?;
    let line = lines::ended(&chain, "/api/v1/namespaces/glpat-…/pods/a").await?;
    let fields = json!({
        "query": "watch=0&access_token=…&labelSelector=app%3DeyJ…&limit=5&…",
        "namespace": "glpat-…", "name": "a", "verb": "get",
    });
    lines::must_hold(&line, &fields)?;
    let shown = line["userAgent"].as_str().unwrap_or_default();
    ensure!(
        shown.starts_with("tool/1 (culvert_access_…) \"quoted\\\" \t "),
        "{shown}"
    );
    ensure!(shown.len() < 300, "{}", shown.len());

    // Also of what goes nowhere.
    let mut caller = chain.raw_caller().await?;
    let head = format!("GET /{jwt}?x={secret} HTTP/1.1\r\nHost: other.example\r\n\r\n");
    caller.send(head).await?;
    caller.head().await?;
    lines::must_hold(
        &lines::ended(&chain, "/eyJ…").await?,
        &json!({"query": "x=…"}),
    )?;
    chain.stop().await
}
