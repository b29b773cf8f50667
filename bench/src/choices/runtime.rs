//! One thread against more: the real binaries with different numbers of worker threads,
//! between a caller and an origin. The server's share no work; the client's steal it.

use std::time::Duration;

use anyhow::Result;
use local_kubernetes::process::Spawner;

use crate::caller::{Target, Version};
use crate::chain::{Chain, Variant, Workers};
use crate::choices::Effort;
use crate::load::{Load, Run};
use crate::origin::{BULK, Origin};
use crate::report::Table;
use crate::rounds::interleaved;
use crate::stats::{Spread, count, ratio};

/// Watches that stay open in one scenario.
const WATCHES: usize = 300;

enum Scenario {
    Small(Load),
    Bulk,
}

struct Case {
    name: String,
    /// Without one the origin is called.
    chain: Option<Chain>,
    direct: Target,
}

struct Sample {
    run: Run,
    /// Of each process, while it ran.
    cpu: Vec<Duration>,
    resident: Vec<u64>,
    /// Connections to the origin that were opened while it ran.
    opened: u64,
}

/// tunnel-server and tunnel-client, in front of a small HTTP/1.1 origin.
pub async fn links(
    spawner: &Spawner,
    origin: &Origin,
    variants: &[Variant],
    effort: Effort,
) -> Result<()> {
    let mut cases = vec![direct(origin)];
    for (server, client) in [(1, 1), (2, 1), (2, 2)] {
        let workers = Workers {
            server,
            client,
            sidecar: None,
        };
        cases.push(case(spawner, origin, workers, None).await?);
        for variant in variants {
            cases.push(case(spawner, origin, workers, Some(variant)).await?);
        }
    }
    let small = |version, concurrency, watches| {
        Scenario::Small(Load {
            version,
            concurrency,
            watches,
        })
    };
    let scenarios = [
        small(Version::Http1, 1, 0),
        small(Version::Http2, 1, 0),
        small(Version::Http1, 64, 0),
        small(Version::Http1, 256, 0),
        small(Version::Http2, 64, 0),
        small(Version::Http2, 256, 0),
        small(Version::Http2, 64, WATCHES),
        Scenario::Bulk,
    ];
    println!("### Server and client, workers (server, client)\n");
    compare(origin, &cases, &scenarios, effort).await?;
    println!("### Resident memory, MiB: server + client, after all of the above\n");
    for case in &cases {
        if let Some(chain) = &case.chain {
            println!("- {}: {}", case.name, mebibytes(&chain.resident()?));
        }
    }
    println!();
    Ok(())
}

/// All three processes, in front of the origin over TLS.
pub async fn whole_chain(
    spawner: &Spawner,
    origin: &Origin,
    variants: &[Variant],
    effort: Effort,
) -> Result<()> {
    let mut cases = vec![direct(origin)];
    for (server, client, sidecar) in [(1, 1, 1), (2, 1, 1), (2, 2, 2)] {
        let workers = Workers {
            server,
            client,
            sidecar: Some(sidecar),
        };
        cases.push(case(spawner, origin, workers, None).await?);
        for variant in variants {
            cases.push(case(spawner, origin, workers, Some(variant)).await?);
        }
    }
    let small = |version, concurrency| {
        Scenario::Small(Load {
            version,
            concurrency,
            watches: 0,
        })
    };
    let scenarios = [
        small(Version::Http2, 1),
        small(Version::Http2, 64),
        small(Version::Http2, 256),
        Scenario::Bulk,
    ];
    println!("### The whole chain, workers (server, client, sidecar), origin over TLS\n");
    compare(origin, &cases, &scenarios, effort).await
}

fn direct(origin: &Origin) -> Case {
    Case {
        name: "direct, TLS".into(),
        chain: None,
        direct: Target {
            address: origin.tls,
            host: "localhost".into(),
            ca_file: origin.certificate.file.clone(),
            token: None,
        },
    }
}

async fn case(
    spawner: &Spawner,
    origin: &Origin,
    workers: Workers,
    variant: Option<&Variant>,
) -> Result<Case> {
    let chain = Chain::start(spawner, origin, workers, variant).await?;
    let counts: Vec<String> = [Some(workers.server), Some(workers.client), workers.sidecar]
        .into_iter()
        .flatten()
        .map(|count| count.to_string())
        .collect();
    let mut name = format!("({})", counts.join(", "));
    if let Some(variant) = variant {
        name = format!("{} {name}", variant.name);
    }
    Ok(Case {
        name,
        chain: Some(chain),
        ..direct(origin)
    })
}

async fn compare(
    origin: &Origin,
    cases: &[Case],
    scenarios: &[Scenario],
    effort: Effort,
) -> Result<()> {
    for scenario in scenarios {
        let samples = interleaved(effort.rounds, cases, async |case| {
            measure(origin, case, scenario, effort.time).await
        })
        .await?;
        println!(
            "**{}**\n\n{}",
            scenario.name(),
            table(scenario, cases, &samples)
        );
    }
    Ok(())
}

async fn measure(
    origin: &Origin,
    case: &Case,
    scenario: &Scenario,
    time: Duration,
) -> Result<Sample> {
    let target = case
        .chain
        .as_ref()
        .map_or(&case.direct, |chain| &chain.target);
    let callers = scenario.load().connect(target).await?;
    let cpu = |case: &Case| case.chain.as_ref().map(Chain::cpu).transpose();
    let (before, opened) = (cpu(case)?.unwrap_or_default(), origin.accepted());
    let run = match scenario {
        Scenario::Small(_) => callers.small(time).await?,
        Scenario::Bulk => callers.once(BULK).await?,
    };
    let after = cpu(case)?.unwrap_or_default();
    let resident = case.chain.as_ref().map(Chain::resident).transpose()?;
    Ok(Sample {
        run,
        cpu: after.into_iter().zip(before).map(|(a, b)| a - b).collect(),
        resident: resident.unwrap_or_default(),
        opened: origin.accepted() - opened,
    })
}

impl Scenario {
    fn load(&self) -> Load {
        match self {
            Self::Small(load) => *load,
            Self::Bulk => Load {
                version: Version::Http2,
                concurrency: 1,
                watches: 0,
            },
        }
    }

    fn name(&self) -> String {
        let Load {
            version,
            concurrency,
            watches,
        } = self.load();
        let version = version.name();
        match self {
            Self::Bulk => format!("A download of 256 MiB, {version}"),
            Self::Small(_) if concurrency == 1 => format!("A lone small request, {version}"),
            Self::Small(_) if watches > 0 => {
                format!(
                    "{concurrency} small requests at once beside {watches} quiet watches, {version}"
                )
            }
            Self::Small(_) => format!("{concurrency} small requests at once, {version}"),
        }
    }
}

fn table(scenario: &Scenario, cases: &[Case], samples: &[Vec<Sample>]) -> Table {
    let bulk = matches!(scenario, Scenario::Bulk);
    let mut table = if bulk {
        Table::new([
            "",
            "Gbit/s",
            "of direct",
            "CPU ms/GiB, each",
            "MiB resident",
            "connections to the origin opened",
        ])
    } else {
        Table::new([
            "",
            "requests/s",
            "of direct",
            "p50 µs",
            "p99 µs",
            "CPU µs/request, each",
            "MiB resident",
            "connections to the origin opened",
        ])
    };
    let rate = |sample: &Sample| {
        if bulk {
            sample.run.gbit_per_second()
        } else {
            sample.run.per_second()
        }
    };
    for (case, own) in cases.iter().zip(samples) {
        let of_direct = own.iter().zip(&samples[0]).map(|(a, b)| rate(a) / rate(b));
        let mut row = vec![
            case.name.clone(),
            Spread::of(own.iter().map(rate)).show(count),
            ratio(Spread::of(of_direct).median),
        ];
        if !bulk {
            for share in [0.5, 0.99] {
                let latency = own.iter().map(|sample| sample.run.latency(share));
                row.push(count(Spread::of(latency).median));
            }
        }
        row.push(cpu_share(own, bulk));
        let resident = own.last().map(|sample| mebibytes(&sample.resident));
        row.push(resident.unwrap_or_default());
        let opened = own.iter().map(|sample| sample.opened as f64);
        row.push(format!("{:.0}", Spread::of(opened).median));
        table.row(row);
    }
    table
}

/// CPU time a unit of work, process by process.
fn cpu_share(samples: &[Sample], bulk: bool) -> String {
    let processes = samples.first().map_or(0, |sample| sample.cpu.len());
    let shares: Vec<String> = (0..processes)
        .map(|process| {
            let share = samples.iter().map(|sample| {
                let seconds = sample.cpu[process].as_secs_f64();
                if bulk {
                    seconds * 1e3 * (1 << 30) as f64 / sample.run.bytes as f64
                } else {
                    seconds * 1e6 / sample.run.latencies.len() as f64
                }
            });
            format!("{:.0}", Spread::of(share).median)
        })
        .collect();
    shares.join(" + ")
}

fn mebibytes(resident: &[u64]) -> String {
    let each: Vec<String> = resident
        .iter()
        .map(|bytes| format!("{:.1}", *bytes as f64 / f64::from(1 << 20)))
        .collect();
    each.join(" + ")
}
