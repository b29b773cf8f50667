//! Whole chains before an upstream over TLS, as a kube-apiserver is one: ours with
//! proxy-sidecar, and encrypted peers with the real `kubectl proxy` behind their client.

use std::path::Path;

use anyhow::Result;
use integration::binaries::culvert;
use local_kubernetes::{Binaries, to_stderr};

use super::bulk::{self, Direction};
use super::{Case, Stage, fresh, latency, requests};
use crate::generator::Entry;
use crate::generator::entry::Tls;
use crate::origin::{BULK_BYTES, Origin};
use crate::peers::Carries;
use crate::proxies::{Kind, Proxy};
use crate::results::Report;

/// Of the upstream, as a kube-apiserver.
const STREAMS: u32 = 100;
const FRESH: usize = 32;
const LATENCY: [(usize, f64); 1] = [(32, 500.0)];

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::with_streams(folder.path(), STREAMS).await?;
    let ca_file = &origin.certificate.file;
    let server = format!("https://{}", origin.tls);
    let direct = Entry {
        tls: Some(Tls::new(ca_file, "localhost")?),
        ..Entry::plain(origin.tls)
    };
    let mut cases = vec![Case::direct(direct)];
    let (ours, kubectl) = (sidecar()?, kubectl()?);
    for ready in stage.ready {
        let about = ready.peer.about();
        let proxy = match about.carries {
            _ if about.is_ours() => &ours,
            // What reads requests would have to be told kubectl proxy's Host.
            Carries::Bytes if about.link.is_encrypted() => &kubectl,
            _ => continue,
        };
        cases.push(chain(stage, ready, proxy, &server, ca_file).await?);
    }
    requests::tables(stage, report, "Whole chain: requests", &cases).await;
    latency::tables(stage, report, "Whole chain: latency", &LATENCY, &cases).await;
    let title = format!("Whole chain: a new connection for each request, {FRESH} at a time");
    fresh::table(stage, report, &title, FRESH, &cases).await;
    let title = format!("Whole chain: download of {} MiB", BULK_BYTES >> 20);
    bulk::table(stage, report, &title, Direction::Down, BULK_BYTES, &cases).await;
    Ok(())
}

/// A tunnel before a proxy.
pub(super) async fn chain<'a>(
    stage: &Stage<'a>,
    ready: &'a super::Ready,
    kind: &Kind,
    server: &str,
    ca_file: &Path,
) -> Result<Case<'a>> {
    let proxy = Proxy::start(stage.spawner, kind, server, ca_file).await?;
    let case = stage.case(ready, proxy.address, None).await;
    Ok(case.before(proxy, &kind.name))
}

/// With its default flags.
pub(super) fn sidecar() -> Result<Kind> {
    Ok(Kind {
        name: "proxy-sidecar".into(),
        binary: culvert("proxy-sidecar")?,
        arguments: Vec::new(),
    })
}

fn kubectl() -> Result<Kind> {
    Ok(Kind {
        name: "kubectl proxy".into(),
        binary: Binaries::obtain(&to_stderr)?.kubectl,
        arguments: vec!["proxy".into()],
    })
}
