//! HTTP proxies that lead nowhere.

use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;
use integration::tinyproxy::Tinyproxy;

use crate::middlebox::{Does, Middlebox};
use crate::report::{Row, told};

pub(crate) async fn proxies_that_lead_nowhere(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let real = Tinyproxy::start(&environment.secrets).await?;
    let strict = Tinyproxy::start_with(&environment.secrets, "ConnectPort 443\n").await?;
    let answers = async |head: &str| {
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
        Middlebox::plain(Does::Answers(answer)).await
    };
    let ntlm = answers(
        "407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n\
         Proxy-Authenticate: NTLM",
    )
    .await?;
    let broken = answers("502 Bad Gateway").await?;
    let rubbish = Middlebox::plain(Does::Says("SSH-2.0-OpenSSH_9.2\r\n")).await?;
    let silent = Middlebox::plain(Does::Nothing).await?;
    let closes = Middlebox::plain(Does::Closes).await?;
    let by = |network, proxy: String, step, says| Row {
        network,
        flags: Vec::new(),
        variables: vec![("HTTPS_PROXY", proxy)],
        step,
        says,
    };
    let url = |port: &Middlebox| format!("http://127.0.0.1:{}", port.port);
    let tls_port = format!("http://{}", chain.server_address);
    let rows = [
        by(
            "the proxy's name",
            "http://nowhere.invalid:3128".to_owned(),
            "resolve",
            &["the proxy http://nowhere.invalid:3128"],
        ),
        by(
            "the proxy is away",
            "http://127.255.254.253:3128".to_owned(),
            "connect",
            &["the proxy http://127.255.254.253:3128 cannot be reached"],
        ),
        by(
            "no password",
            format!("http://{}", real.address),
            "proxy",
            &["asks for a user and a password", "percent-encoded"],
        ),
        by(
            "wrong password",
            real.url_with("wrong"),
            "proxy",
            &["does not take the user and password"],
        ),
        by(
            "forbidden port",
            strict.url(),
            "proxy",
            &["does not allow connections to localhost"],
        ),
        by(
            "NTLM only",
            url(&ntlm),
            "proxy",
            &["Negotiate or NTLM", "only Basic is supported"],
        ),
        by("the proxy's 502", url(&broken), "proxy", &["answered 502"]),
        by(
            "the proxy speaks rubbish",
            url(&rubbish),
            "proxy",
            &["no answer in HTTP"],
        ),
        by(
            "the proxy is silent",
            url(&silent),
            "proxy",
            &["no answer within 10 s", "HTTPS_PROXY"],
        ),
        by(
            "the proxy closes",
            url(&closes),
            "proxy",
            &["no answer in HTTP"],
        ),
        by(
            "plain to a TLS port",
            tls_port,
            "proxy",
            &["no answer in HTTP"],
        ),
        by(
            "a SOCKS proxy",
            "socks5://127.0.0.1:1080".to_owned(),
            "settings",
            &["give an http or https URL"],
        ),
    ];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}
