//! Downloads.

use std::time::Duration;

use anyhow::Result;

use super::{Bars, Proxy, Stage, Upstream};
use crate::caller::Version;
use crate::choices::Effort;
use crate::lean::caller::Callers;
use crate::load::{Load, Run};
use crate::origin::BULK;
use crate::report::Table;
use crate::rounds::{interleaved, pairs, ratios};
use crate::stats::{Spread, count, ratio};

const BAR: f64 = 1.0;
const AIM: f64 = 1.4;

struct Sample {
    run: Run,
    /// Of the proxy.
    cpu: Duration,
}

impl Sample {
    fn rate(&self) -> f64 {
        self.run.bytes as f64 * 1e-6 / self.run.elapsed.as_secs_f64()
    }

    /// Milliseconds for 1 GB.
    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e12 / self.run.bytes as f64
    }
}

pub async fn bulk(stage: &Stage, effort: Effort, bars: &mut Bars) -> Result<()> {
    for upstream in Upstream::ALL {
        println!("### Downloads of 256 MiB, {}\n", upstream.name());
        let cases = stage.cases(upstream).await?;
        let samples = interleaved(effort.rounds, &cases, async |case| {
            stage.download(case.as_ref(), upstream, effort.time).await
        })
        .await?;
        println!("{}", table(stage, &samples));
        if let [_, kubectl, ours, ..] = samples.as_slice() {
            let name = format!("download, MB/s, {}", upstream.name());
            bars.at_least(name, pairs(kubectl, ours, Sample::rate), count, BAR, AIM);
        }
    }
    Ok(())
}

impl Stage {
    async fn download(
        &self,
        proxy: Option<&Proxy>,
        upstream: Upstream,
        time: Duration,
    ) -> Result<Sample> {
        let cpu = || proxy.map_or(Ok(Duration::ZERO), Proxy::cpu);
        let (before, run) = match (proxy, upstream) {
            (None, Upstream::Tls) => {
                let load = Load {
                    version: Version::Http2,
                    concurrency: 1,
                    watches: 0,
                };
                let callers = load.connect(&self.target()).await?;
                (cpu()?, callers.once(BULK).await?)
            }
            (proxy, _) => {
                let address = proxy.map_or(self.plain.address, |proxy| proxy.address);
                let callers = Callers::for_bulk(address).await?;
                (cpu()?, callers.run(time).await?)
            }
        };
        let cpu = cpu()? - before;
        Ok(Sample { run, cpu })
    }
}

fn table(stage: &Stage, samples: &[Vec<Sample>]) -> Table {
    let mut table = Table::new(["", "MB/s", "of kubectl's", "of direct", "CPU ms/GB"]);
    for (number, (name, own)) in stage.names().into_iter().zip(samples).enumerate() {
        let of = |other: &[Sample]| Spread::of(ratios(own, other, Sample::rate)).show(ratio);
        let proxies = |text: String| if number > 0 { text } else { String::new() };
        table.row([
            name,
            Spread::of(own.iter().map(Sample::rate)).show(count),
            proxies(of(&samples[1])),
            of(&samples[0]),
            proxies(format!(
                "{:.0}",
                Spread::of(own.iter().map(Sample::cpu)).median
            )),
        ]);
    }
    table
}
