//! What a browser says of whose page sent a request; and programs that say it, too.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::BASE_DOMAIN;
use integration::environment::Environment;

use crate::stage::{CLOSE, Stage, shown};

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn site(site: &str, mode: &str, destination: &str) -> String {
    format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {destination}\r\n")
}

pub(crate) async fn another_origins_requests_are_refused_first(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    let own = stage.chain.host();
    let token = stage.authorization();
    let mut cases = Vec::new();
    for origin in [
        "https://elsewhere.example",
        "https://other.culvert.test",
        "https://culvert.test",
        "https://prod.culvert.test:1",
        "http://prod.culvert.test",
        "http://localhost",
        "null",
        "file://",
    ] {
        let origin = format!("Origin: {origin}\r\n");
        for method in ["POST", "PUT", "PATCH", "DELETE", "MADEUP"] {
            cases.push((method, format!("{origin}Content-Length: 0\r\n{CLOSE}")));
        }
        cases.push(("GET", format!("{origin}{WEBSOCKET}")));
    }
    for whose in ["cross-site", "same-site"] {
        for lines in [
            site(whose, "no-cors", "image"),
            site(whose, "no-cors", "script"),
            site(whose, "cors", "empty"),
            site(whose, "navigate", "iframe"),
            site(whose, "navigate", "object"),
            site(whose, "websocket", "empty"),
        ] {
            cases.push(("GET", format!("{lines}{CLOSE}")));
        }
        cases.push((
            "OPTIONS",
            format!("{}{CLOSE}", site(whose, "cors", "empty")),
        ));
        let form = site(whose, "navigate", "document");
        cases.push(("POST", format!("{form}Content-Length: 0\r\n{CLOSE}")));
    }
    for (method, lines) in cases {
        for (host, path) in [(own.as_str(), "/a"), (BASE_DOMAIN, "/clusters/prod/a")] {
            if lines.contains(&format!("https://{host}\r\n")) {
                continue;
            }
            // Whether it is anybody known is not said.
            for token in [token.as_str(), "", "Authorization: Bearer none\r\n"] {
                let request =
                    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}{lines}\r\n");
                let refusal = stage.refusal(&request).await?;
                ensure!(
                    (refusal.status, refusal.code.as_str()) == (403, "cross-origin"),
                    "{}: {refusal:?}",
                    shown(&request)
                );
            }
        }
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

pub(crate) async fn programs_with_origins_are_served(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    let token = stage.authorization();
    for (host, path, origin) in [
        ("prod.culvert.test", "/a", "https://prod.culvert.test"),
        ("prod.culvert.test:443", "/a", "https://prod.culvert.test"),
        (
            "prod.culvert.test:8443",
            "/a",
            "https://prod.culvert.test:8443",
        ),
        ("PROD.culvert.test", "/a", "https://prod.culvert.test:443"),
        (
            "culvert.test:8443",
            "/clusters/prod/a",
            "https://culvert.test:8443",
        ),
    ] {
        for (method, lines) in [("GET", ""), ("POST", "Content-Length: 0\r\n")] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}Origin: {origin}\r\n{lines}{CLOSE}\r\n"
            );
            stage.seen(&stage.prod, &request).await?;
        }
    }
    for whose in ["none", "same-origin"] {
        let lines = site(whose, "cors", "empty");
        let own = stage.chain.host();
        let request = format!("GET /a HTTP/1.1\r\nHost: {own}\r\n{token}{lines}{CLOSE}\r\n");
        stage.seen(&stage.prod, &request).await?;
    }
    stage.stop().await
}
