//! The three processes are killed, one after the other in random order, and started
//! again. Only what was open on the killed one may fail, and what came while it was
//! away; with an error each, and nothing that was cut looks whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::Chain;
use integration::endure::amount;
use integration::environment::Environment;
use integration::wait::until;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::leftovers::Leftovers;
use crate::load::Load;
use crate::record::Away;
use crate::stage::Stage;

/// A second after the process is ready, and the chain's jitter; five times that on a
/// loaded machine.
const BACK: Duration = Duration::from_millis(5 * (1_000 + 250));
/// After the first answer: what was refused just before may still be on its way.
const GRACE: Duration = Duration::from_millis(100);
/// Between two kills: all kinds of load are to be under way again.
const ROUND: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Server,
    Client,
    Sidecar,
}

impl Victim {
    const ALL: [Self; 3] = [Self::Server, Self::Client, Self::Sidecar];

    /// Kills it and starts it again; comes back when that is ready.
    async fn kill(self, chain: &mut Chain) -> Result<()> {
        match self {
            Self::Server => chain.restart_server().await,
            Self::Client => chain.restart_client().await,
            Self::Sidecar => chain.restart_sidecar().await,
        }
    }
}

pub(crate) async fn only_what_was_open_on_the_killed_one_fails(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    let chain = &mut stage.chain;
    // Each is as it will be in the end: started again, and used.
    for victim in Victim::ALL {
        victim.kill(chain).await?;
    }
    let seed = rand::random();
    println!("seed {seed}");
    let mut order = Victim::ALL.repeat(usize::try_from(amount(2, 20))?);
    order.shuffle(&mut StdRng::seed_from_u64(seed));

    let load = Load::start(chain)?;
    load.rounds(ROUND).await?;
    let mut away = Vec::new();
    for victim in order {
        let killed = Instant::now();
        victim.kill(chain).await?;
        let ready = Instant::now();
        let back = until("the service", BACK * 2, || async {
            Ok(load.answered_since(ready))
        })
        .await
        .with_context(|| format!("after the end of {victim:?}"))?;
        println!(
            "{victim:?}: ready after {:.0?}, back {back:.0?} later",
            ready - killed
        );
        ensure!(back < BACK, "back {back:?} after {victim:?} was ready");
        away.push(Away {
            victim,
            from: killed,
            to: ready + back + GRACE,
        });
        load.rounds(ROUND).await?;
    }
    load.end().await?.judge(&away)?;
    Leftovers::none(chain).await?;
    stage.chain.stop().await
}
