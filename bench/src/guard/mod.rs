//! What the ways of a request cost in instructions, which a busy machine does not change:
//! so that a regression shows where times would not.
//!
//! Our three programs run under valgrind's callgrind, one behind the other. A cost is the
//! difference of two runs that differ in how often something was done, by how often that
//! was: what starting and ending cost is in both. [`Costs`] are compared with those that
//! are committed, in `bench/guard.json`.

mod costs;
mod under_callgrind;
mod way;

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use local_kubernetes::process::Spawner;

pub use costs::{Change, Costs, Verdict};
pub use way::Way;

use crate::lean::origin::Origin;
use under_callgrind::Wrapped;

/// Counts the instructions of all ways. Where `keep` is a folder, what callgrind wrote of
/// each run goes there, for `callgrind_annotate`.
pub async fn count(spawner: &Spawner, binaries: &Path, keep: Option<&Path>) -> Result<Costs> {
    let origin = Origin::start().await?;
    let mut costs = Costs::new(compiler()?);
    for way in Way::ALL {
        let (few, many) = way.amounts();
        let mut totals = Vec::new();
        for amount in [few, many] {
            eprintln!("{} {}", amount, way.name());
            let wrapped = Wrapped::new(binaries)?;
            let chain = wrapped.start(spawner, origin.address).await?;
            way.go(chain.entry()?, amount).await?;
            totals.push(chain.end().await?);
            if let Some(keep) = keep {
                wrapped.keep(&keep.join(format!("{amount}-{}", way.name().replace(' ', "-"))))?;
            }
        }
        costs.add(way, &totals[0], &totals[1], many - few);
    }
    Ok(costs)
}

fn compiler() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
