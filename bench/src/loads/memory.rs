//! Resident memory of new processes: idle, and what each further idle link takes of the
//! server.

use std::time::Duration;

use anyhow::Result;

use super::{Case, Effort, Measure, Ready, Stage};
use crate::generator::Entry;
use crate::peers::{Role, Tunnel};
use crate::results::Report;

/// Links of a server; a quick run has a quarter of them.
const LINKS: usize = 64;
/// Starting that many processes takes seconds: more rounds would say the same.
const ROUNDS: usize = 3;
/// Until memory is read: what starts goes on beside it.
const SETTLES: Duration = Duration::from_secs(1);

const MEASURES: [Measure; 3] = [
    Measure::less("server, idle", "MB").with_chart(),
    Measure::less("client, idle", "MB").with_chart(),
    Measure::less("server, for each idle link", "kB").with_chart(),
];

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let effort = Effort {
        rounds: stage.effort.rounds.min(ROUNDS),
        ..stage.effort
    };
    let stage = &Stage { effort, ..*stage };
    let links = if effort.quick { LINKS / 4 } else { LINKS };
    // Nothing runs before it is measured; the names tell which peer that is.
    let nobody = Entry::plain(stage.origin.address);
    let cases: Vec<_> = stage
        .ready
        .iter()
        .map(|ready| Case::named(ready.peer.about().name, nobody.clone()))
        .collect();
    let measure = async |case: &Case<'_>| {
        let ready = stage
            .ready
            .iter()
            .find(|ready| ready.peer.about().name == case.name);
        match ready {
            Some(ready) => sample(stage, ready, links).await,
            None => anyhow::bail!("no such peer"),
        }
    };
    let title = format!("Memory, and with {links} links");
    stage
        .table(report, &title, &MEASURES, &cases, measure)
        .await;
    Ok(())
}

/// A value for each of the measures above.
async fn sample(stage: &Stage<'_>, ready: &Ready, links: usize) -> Result<Vec<f64>> {
    let (peer, upstream) = (ready.peer.as_ref(), stage.origin.address);
    let mut tunnel =
        Tunnel::start(peer, &ready.programs, stage.spawner, upstream, links, None).await?;
    tokio::time::sleep(SETTLES).await;
    let server = tunnel.server_memory()? as f64;
    let client = match tunnel.part(Role::Client) {
        Some(client) => client.resident()? as f64,
        None => f64::NAN,
    };
    for _ in 1..links {
        tunnel.link().await?;
    }
    tokio::time::sleep(SETTLES).await;
    let each = (tunnel.server_memory()? as f64 - server) / (links - 1) as f64;
    Ok(vec![server / 1e6, client / 1e6, each / 1e3])
}
