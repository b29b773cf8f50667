//! The way to the server is fine, and nothing is behind us.

use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;

use crate::middlebox::{Does, Middlebox};
use crate::report::{Row, told};

pub(crate) async fn what_is_behind_fails(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let silent = Middlebox::plain(Does::Nothing).await?;
    let no_api = Middlebox::plain(Does::Answers(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    ))
    .await?;
    let row = |network, flag, value: String, step, says| Row {
        flags: vec![(flag, value)],
        ..Row::to(network, "", step, says)
    };
    let at = |port: &Middlebox| format!("127.0.0.1:{}", port.port);
    let rows = [
        row(
            "no sidecar",
            "--upstream",
            "127.255.254.253:1".to_owned(),
            "sidecar",
            &["cannot reach 127.255.254.253:1"],
        ),
        row(
            "a silent sidecar",
            "--upstream",
            at(&silent),
            "sidecar",
            &["does not answer within 10 s"],
        ),
        row(
            "no API server",
            "--upstream",
            at(&no_api),
            "api-server",
            &["502"],
        ),
        row(
            "no secret",
            "--sidecar-secret-file",
            "nothing".to_owned(),
            "sidecar",
            &["--sidecar-secret-file", "nothing"],
        ),
    ];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}
