//! Small requests: how many a second, and the CPU time that they take.

use std::time::Duration;

use anyhow::Result;

use super::{Bars, Proxy, Stage, Upstream};
use crate::caller::Version;
use crate::choices::Effort;
use crate::lean::caller::Callers;
use crate::load::{Load, Run};
use crate::report::Table;
use crate::rounds::interleaved;
use crate::stats::{Spread, count, ratio};
use crate::{cpu, rounds};

/// Connections, what the bar is, and what is aimed at, each as a multiple of kubectl
/// proxy's requests a second.
const LOADS: [(usize, f64, f64); 3] = [(1, 2.0, 3.0), (32, 4.0, 5.0), (256, 4.0, 5.0)];
/// At that many connections CPU time is compared, and may be this part of kubectl
/// proxy's.
const CPU: (usize, f64, f64) = (32, 1.0 / 4.0, 1.0 / 6.0);

/// A case; nothing stands for none between callers and upstream.
type Case = Option<Proxy>;

struct Sample {
    run: Run,
    /// Of the proxy.
    proxy: Duration,
    /// Of callers and origin together.
    ends: Duration,
}

impl Sample {
    /// Of the proxy, seconds for 100,000 requests.
    fn cpu(&self) -> f64 {
        self.proxy.as_secs_f64() * 1e5 / self.run.latencies.len() as f64
    }
}

pub async fn requests(stage: &Stage, effort: Effort, bars: &mut Bars) -> Result<()> {
    for upstream in Upstream::ALL {
        println!("### Small requests, {}\n", upstream.name());
        let cases = stage.cases(upstream).await?;
        for (connections, bar, aim) in LOADS {
            let samples = interleaved(effort.rounds, &cases, async |case| {
                stage
                    .call(case.as_ref(), upstream, connections, effort.time)
                    .await
            })
            .await?;
            println!("**{}**\n", counted(connections));
            println!("{}", table(stage, &samples));
            let [_, kubectl, ours, ..] = samples.as_slice() else {
                continue;
            };
            let rate = |sample: &Sample| sample.run.per_second();
            let name = format!("requests/s, {}, {}", counted(connections), upstream.name());
            bars.at_least(name, rounds::pairs(kubectl, ours, rate), count, bar, aim);
            if connections == CPU.0 {
                let name = format!("CPU s per 100,000 requests, {}", upstream.name());
                let pairs = rounds::pairs(kubectl, ours, Sample::cpu);
                bars.at_most(name, pairs, |value| format!("{value:.2}"), CPU.1, CPU.2);
            }
        }
    }
    Ok(())
}

fn counted(connections: usize) -> String {
    match connections {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    }
}

impl Stage {
    /// Processes that serve for all rounds.
    pub(super) async fn cases(&self, upstream: Upstream) -> Result<Vec<Case>> {
        let mut cases = vec![None];
        for kind in self.kinds() {
            cases.push(Some(self.start(kind, upstream).await?));
        }
        Ok(cases)
    }

    async fn call(
        &self,
        proxy: Option<&Proxy>,
        upstream: Upstream,
        connections: usize,
        time: Duration,
    ) -> Result<Sample> {
        let times = || -> Result<(Duration, Duration)> {
            let ends = cpu::of_process(std::process::id())?;
            Ok((proxy.map_or(Ok(Duration::ZERO), Proxy::cpu)?, ends))
        };
        let (before, run) = match (proxy, upstream) {
            (None, Upstream::Tls) => {
                let load = Load {
                    version: Version::Http2,
                    concurrency: connections,
                    watches: 0,
                };
                let callers = load.connect(&self.target()).await?;
                (times()?, callers.small(time).await?)
            }
            (proxy, _) => {
                let address = proxy.map_or(self.plain.address, |proxy| proxy.address);
                let callers = Callers::connect(address, connections).await?;
                (times()?, callers.run(time).await?)
            }
        };
        let after = times()?;
        Ok(Sample {
            run,
            proxy: after.0 - before.0,
            ends: after.1 - before.1,
        })
    }

    /// In the order of [`Self::cases`].
    pub(super) fn names(&self) -> Vec<String> {
        let kinds = self.kinds().map(|kind| kind.name.clone());
        std::iter::once("direct".to_owned()).chain(kinds).collect()
    }
}

fn table(stage: &Stage, samples: &[Vec<Sample>]) -> Table {
    let mut table = Table::new([
        "",
        "requests/s",
        "of kubectl's",
        "of direct",
        "CPU s/100,000",
        "of kubectl's",
        "of callers and origin",
        "p50 µs",
        "p99 µs",
    ]);
    let rate = |sample: &Sample| sample.run.per_second();
    let median =
        |own: &[Sample], value: &dyn Fn(&Sample) -> f64| Spread::of(own.iter().map(value)).median;
    for (number, (name, own)) in stage.names().into_iter().zip(samples).enumerate() {
        let of = |other: &[Sample], value: fn(&Sample) -> f64| {
            Spread::of(rounds::ratios(own, other, value)).show(ratio)
        };
        let is_proxy = number > 0;
        let proxies = |text: String| if is_proxy { text } else { String::new() };
        let ends =
            |sample: &Sample| sample.ends.as_secs_f64() * 1e5 / sample.run.latencies.len() as f64;
        table.row([
            name,
            Spread::of(own.iter().map(rate)).show(count),
            proxies(of(&samples[1], |sample| sample.run.per_second())),
            ratio(Spread::of(rounds::ratios(own, &samples[0], rate)).median),
            proxies(Spread::of(own.iter().map(Sample::cpu)).show(|value| format!("{value:.2}"))),
            proxies(of(&samples[1], Sample::cpu)),
            format!("{:.2}", median(own, &ends)),
            count(median(own, &|sample| sample.run.latency(0.5))),
            count(median(own, &|sample| sample.run.latency(0.99))),
        ]);
    }
    table
}
