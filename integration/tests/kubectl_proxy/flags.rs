//! Flags that cannot be used, and where the proxy listens.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::binaries::culvert;
use integration::chain::SOON;
use integration::environment::Environment;
use integration::raw_http::{Connection, RawUpstream};
use integration::service::Service;
use local_kubernetes::process::Spawner;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::proxies::{kubeconfig, kubectl_binary, serving};

const ASK: &str = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Each ends at once, with kubectl's exit code; most in its words.
pub(crate) async fn mistakes(_: Arc<Environment>) -> Result<()> {
    let (folder, spawner) = (tempfile::tempdir()?, Spawner::new()?);
    let kubeconfig = kubeconfig(folder.path(), "http://127.0.0.1:1")?;
    let kubectl = kubectl_binary().await?;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let port = taken.local_addr()?.port();
    let socket = folder.path().join("a-file");
    std::fs::write(&socket, "")?;
    let ca = format!("--certificate-authority={}", socket.display());
    let socket = format!("--unix-socket={}", socket.display());
    let taken_port = format!("--port={port}");
    let in_its_words: &[&[&str]] = &[
        &["--port=99999"],
        &["--port=-1"],
        &["--address=::1", "--port=0"],
        &["--port=1", "-u", "/tmp/x"],
        &[&taken_port],
        &[&socket],
        &[
            "--server=https://127.0.0.1:1",
            "--insecure-skip-tls-verify",
            &ca,
        ],
    ];
    let in_ours: &[(&[&str], &str)] = &[
        (&["--port=abc"], "--port"),
        (&["--keepalive=abc"], "--keepalive"),
        (&["--nosuch"], "--nosuch"),
        (&["--disable-filter=maybe"], "--disable-filter"),
        (&["--accept-hosts"], "--accept-hosts"),
        (&["--server=ftp://a"], "--server"),
        (
            &["--token=a", "--username=b"],
            "more than one authentication method found",
        ),
        (
            &["--as-group=a"],
            "requesting uid, groups or user-extra without impersonating a user",
        ),
        (&["--api-prefix=custom"], "--api-prefix"),
        (&["--api-prefix=/a//b"], "--api-prefix"),
        (&["--www=.", "--www-prefix=/"], "--www-prefix"),
        (&["--reject-paths=["], "--reject-paths"),
    ];
    let all = in_its_words
        .iter()
        .map(|flags| (*flags, None))
        .chain(in_ours.iter().map(|(flags, told)| (*flags, Some(*told))));
    for (flags, told) in all {
        let mut arguments = vec![format!("--kubeconfig={}", kubeconfig.display())];
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let run = Service::run_to_end(&spawner, "proxy-sidecar", &arguments, folder.path());
        let (code, printed) = run.await?;
        ensure!(code == Some(1), "{flags:?}: {code:?} {printed}");
        let wanted = match told {
            Some(told) => told.to_owned(),
            None => {
                let output = tokio::process::Command::new(&kubectl)
                    .arg("proxy")
                    .args(&arguments)
                    .output();
                let output = timeout(SOON, output).await??;
                let printed = String::from_utf8(output.stderr)?;
                let code = output.status.code();
                ensure!(code == Some(1), "kubectl {flags:?}: {code:?} {printed}");
                let line = printed.lines().last().context("kubectl says nothing")?;
                line.trim_start_matches("error: ").to_owned()
            }
        };
        // Rust writes what the system says in its own way.
        let wanted = wanted.split(": address already in use").next();
        let wanted = wanted.unwrap_or_default();
        ensure!(
            printed.contains(wanted),
            "{flags:?}: {wanted} and {printed}"
        );
    }
    Ok(())
}

/// Only its own user can connect, and nobody's address is passed on.
pub(crate) async fn a_unix_socket(_: Arc<Environment>) -> Result<()> {
    let (folder, spawner) = (tempfile::tempdir()?, Spawner::new()?);
    let upstream = RawUpstream::bind().await?;
    let kubeconfig = kubeconfig(folder.path(), &format!("http://{}", upstream.address))?;
    let socket = folder.path().join("socket");
    let arguments = [
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--unix-socket={}", socket.display()),
        "--admin-address=127.0.0.1:0".into(),
    ];
    let start = Service::start(&spawner, "proxy-sidecar", &arguments, folder.path());
    let mut service = start.await?;
    let log = std::fs::read_to_string(service.log())?;
    let line = format!("Starting to serve on {}\n", socket.display());
    ensure!(log.contains(&line), "{log}");
    let mode = std::fs::metadata(&socket)?.permissions().mode();
    ensure!(mode & 0o777 == 0o700, "{mode:o}");
    let mut caller = Connection::new(UnixStream::connect(&socket).await?);
    caller.send(ASK).await?;
    let (mut asked, head) = upstream.request().await?;
    ensure!(!head.to_lowercase().contains("x-forwarded-for"), "{head}");
    asked
        .send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        .await?;
    let (answer, _) = caller.rest().await?;
    ensure!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    service.terminate()?;
    service.ended(SOON).await?;
    ensure!(!socket.exists(), "the socket stays");
    Ok(())
}

/// As at a desk: nothing but the port that was asked for.
pub(crate) async fn no_port_but_its_own(_: Arc<Environment>) -> Result<()> {
    let (folder, spawner) = (tempfile::tempdir()?, Spawner::new()?);
    let kubeconfig = kubeconfig(folder.path(), "http://127.0.0.1:1")?;
    let arguments = [
        "--port=0".to_owned(),
        "--address=[::1]".into(),
        format!("--kubeconfig={}", kubeconfig.display()),
    ];
    let (process, address) = serving(
        &spawner,
        &culvert("proxy-sidecar")?,
        &arguments,
        folder.path(),
    )
    .await?;
    ensure!(address.is_ipv6(), "{address}");
    TcpStream::connect(address).await?;
    let open = listening(process.id())?;
    ensure!(open == 1, "{open} ports are open");
    Ok(())
}

/// How many sockets of a process listen.
fn listening(id: u32) -> Result<usize> {
    let mut inodes = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{id}/fd"))? {
        if let Ok(link) = std::fs::read_link(entry?.path()) {
            inodes.push(link.display().to_string());
        }
    }
    let tables = [
        format!("/proc/{id}/net/tcp"),
        format!("/proc/{id}/net/tcp6"),
    ];
    let mut count = 0;
    for table in tables {
        let text = std::fs::read_to_string(table)?;
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            // State 0A listens; the tenth word is the inode.
            let own = |inode: &&str| inodes.contains(&format!("socket:[{inode}]"));
            if words.get(3) == Some(&"0A") && words.get(9).is_some_and(own) {
                count += 1;
            }
        }
    }
    Ok(count)
}
