//! How upgraded connections are carried on the link.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::certificate::Certificate;
use crate::choices::Effort;
use crate::report::Table;
use crate::rounds::interleaved;
use crate::stats::{Spread, count, ratio};
use crate::upgraded::{
    Abort, Carrier, IDLE_STREAMS, Peer, Route, download, observe, of_idle_streams_in_a_process,
    open_echo, ping, upload,
};

const BULK: u64 = 256 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
enum Scenario {
    /// Messages there and back on so many streams.
    Messages(usize),
    Download,
    Upload,
}

struct Case {
    carrier: Carrier,
    route: Route,
}

struct Sample {
    /// Round trips, or GiB.
    done: f64,
    elapsed: Duration,
    cpu: Duration,
}

pub async fn compare(folder: &Path, effort: Effort) -> Result<()> {
    let certificate = Certificate::make(folder)?;
    let peer = Peer::start().await?;
    let carriers = [Carrier::Direct, Carrier::Post, Carrier::Connect];
    let mut cases = Vec::new();
    for carrier in carriers {
        let route = Route::start(carrier, peer.address, &certificate).await?;
        cases.push(Case { carrier, route });
    }
    println!("### Upgraded connections over the link\n");
    for scenario in [
        Scenario::Messages(1),
        Scenario::Messages(64),
        Scenario::Download,
        Scenario::Upload,
    ] {
        let samples = interleaved(effort.rounds, &cases, async |case| {
            scenario.measure(&case.route, effort.time).await
        })
        .await?;
        println!(
            "**{}**\n\n{}",
            scenario.name(),
            scenario.table(&cases, &samples)
        );
    }
    let idle = interleaved(effort.rounds.min(3), &carriers, async |carrier| {
        of_idle_streams_in_a_process(*carrier)
    })
    .await?;
    let mut table = Table::new(["", "KiB for each, all ends", "without direct's"]);
    let direct = Spread::of(idle[0].iter().copied()).median;
    for (carrier, bytes) in carriers.iter().zip(&idle) {
        let bytes = Spread::of(bytes.iter().copied());
        table.row([
            carrier.name().to_owned(),
            bytes.show(|bytes| format!("{:.1}", bytes / 1024.0)),
            format!("{:.1}", (bytes.median - direct) / 1024.0),
        ]);
    }
    println!("**{IDLE_STREAMS} idle connections**\n\n{table}");
    println!("{}", aborts().await?);
    Ok(())
}

async fn aborts() -> Result<Table> {
    let mut table = Table::new(["what the other end sees when", "POST", "extended CONNECT"]);
    for abort in Abort::ALL {
        let post = observe(Carrier::Post, abort).await?;
        let connect = observe(Carrier::Connect, abort).await?;
        table.row([abort.name(), post, connect]);
    }
    Ok(table)
}

impl Scenario {
    fn name(self) -> String {
        match self {
            Self::Messages(1) => "64-byte messages there and back".into(),
            Self::Messages(streams) => {
                format!("64-byte messages there and back on {streams} connections")
            }
            Self::Download => "256 MiB from the peer".into(),
            Self::Upload => "256 MiB to the peer".into(),
        }
    }

    async fn measure(self, route: &Route, time: Duration) -> Result<Sample> {
        let mut streams = Vec::new();
        if let Self::Messages(count) = self {
            for _ in 0..count {
                streams.push(open_echo(route.entry).await?);
            }
        }
        let (before, started) = (route.cpu()?, Instant::now());
        let done = match self {
            Self::Messages(_) => {
                let mut pings = JoinSet::new();
                for stream in streams {
                    pings.spawn(ping(stream, time));
                }
                let mut count = 0;
                while let Some(ended) = pings.join_next().await {
                    count += ended??;
                }
                count as f64
            }
            Self::Download => {
                download(route.entry, BULK).await?;
                BULK as f64 / f64::from(1 << 30)
            }
            Self::Upload => {
                upload(route.entry, BULK).await?;
                BULK as f64 / f64::from(1 << 30)
            }
        };
        Ok(Sample {
            done,
            elapsed: started.elapsed(),
            cpu: route.cpu()? - before,
        })
    }

    fn table(self, cases: &[Case], samples: &[Vec<Sample>]) -> Table {
        let messages = matches!(self, Self::Messages(_));
        let mut table = Table::new(if messages {
            [
                "",
                "round trips/s",
                "of direct",
                "CPU µs/round trip, both ends",
            ]
        } else {
            ["", "Gbit/s", "of direct", "CPU ms/GiB, both ends"]
        });
        let rate = |sample: &Sample| {
            let rate = sample.done / sample.elapsed.as_secs_f64();
            // GiB to Gbit.
            if messages {
                rate
            } else {
                rate * 8.0 * 1.073_741_824
            }
        };
        for (case, own) in cases.iter().zip(samples) {
            let of_direct = own.iter().zip(&samples[0]).map(|(a, b)| rate(a) / rate(b));
            let unit = if messages { 1e6 } else { 1e3 };
            let cpu = own
                .iter()
                .map(|sample| sample.cpu.as_secs_f64() * unit / sample.done);
            table.row([
                case.carrier.name().to_owned(),
                Spread::of(own.iter().map(rate)).show(count),
                ratio(Spread::of(of_direct).median),
                format!("{:.0}", Spread::of(cpu).median),
            ]);
        }
        table
    }
}
