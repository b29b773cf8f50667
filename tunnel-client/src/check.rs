//! `tunnel-client check`: every step of what would be done, what was seen there, and
//! which one fails. Its links carry no requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;

use crate::args::{Args, Config};
use crate::attempt::attempt;
use crate::behind;
use crate::control::{Goodbye, LinkEvent};
use crate::dial::{Dial, Dialer};
use crate::handshake::Carried;
use crate::idle_cuts::IdleCuts;
use crate::link::{EVENTS, Link};
use crate::link_stats::LinkStats;
use crate::metrics::Metrics;
use crate::public_urls::shown;
use crate::relay::Relay;
use crate::sidecar_secret::SidecarSecret;
use crate::steps::{Step, Steps, words};
use crate::upstream::Upstream;

/// What a check found. Shown in lines for people; as JSON
/// `{"ok": bool, "steps": [{"step": …, "server": …, "ok": bool, "seen": …}]}`.
#[derive(Debug, Serialize)]
pub struct Report {
    ok: bool,
    steps: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    step: Step,
    /// On the way to which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    ok: bool,
    /// What was seen; or what is wrong, and what to do.
    seen: String,
}

impl Report {
    /// Whether all would work.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.ok
    }

    fn add(&mut self, server: Option<&str>, steps: &Steps, ended: Result<(), String>) {
        let line = |step, ok, seen| Line {
            step,
            server: server.map(str::to_owned),
            ok,
            seen,
        };
        let done = steps.all_done().into_iter();
        self.steps
            .extend(done.map(|(step, seen)| line(step, true, seen)));
        if let Err(fault) = ended {
            self.steps.push(line(steps.last(), false, words(&fault)));
            self.ok = false;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = None;
        for line in &self.steps {
            if line.server != server {
                server.clone_from(&line.server);
                if let Some(server) = &server {
                    writeln!(f, "{server}")?;
                }
            }
            let outcome = if line.ok { "ok" } else { "FAILS" };
            let (step, seen) = (line.step, &line.seen);
            writeln!(f, "  {outcome:<5}  {step:<10}  {seen}")?;
        }
        f.write_str(if self.ok {
            "all would work"
        } else {
            "this would not work"
        })
    }
}

/// Takes every step that a start with these flags would, and ends.
pub async fn check(args: Args) -> Report {
    let mut report = Report {
        ok: true,
        steps: Vec::new(),
    };
    let steps = Steps::default();
    steps.begins(Step::Settings);
    let ready = Config::try_from(args)
        .map_err(|error| error.to_string())
        .and_then(|config| {
            let dialers = Dialer::all(&config).map_err(|error| error.to_string())?;
            Ok((config, dialers))
        });
    let (config, dialers) = match ready {
        Ok(ready) => ready,
        Err(fault) => {
            report.add(None, &steps, Err(fault));
            return report;
        }
    };
    let secret = config.sidecar_secret_file.clone();
    let secret = secret.map(SidecarSecret::new).map(Arc::new);
    let relay = Arc::new(Relay {
        upstream: Upstream::new(config.upstream.clone(), secret),
        metrics: Metrics::default(),
        stalls: config.stalls.clone(),
        draining: CancellationToken::new(),
    });
    for dialer in &dialers {
        let steps = Steps::default();
        let ended = link(dialer, &config, &relay, &steps).await;
        report.add(Some(&dialer.server().to_string()), &steps, ended);
    }
    let steps = Steps::default();
    let ended = behind::look(&relay.upstream, &steps).await;
    report.add(None, &steps, ended);
    report
}

/// Makes a link, and looks whether it lives.
async fn link(
    dialer: &Dialer,
    config: &Config,
    relay: &Arc<Relay>,
    steps: &Steps,
) -> Result<(), String> {
    let hello = Hello {
        instance: format!("{:032x}", rand::random::<u128>()),
        lane: 0,
        generation: 0,
        linked: Vec::new(),
        client_version: env!("CARGO_PKG_VERSION").to_owned(),
        subdomain: config.subdomain.clone(),
        check: true,
    };
    let carried = attempt(dialer, &config.token, &hello, steps).await;
    let carried = carried.map_err(|error| error.to_string())?;
    steps.begins(Step::Name);
    let looked = timeout(HANDSHAKE_TIMEOUT, look(carried, relay, steps)).await;
    looked.unwrap_or_else(|_| {
        Err(format!(
            "the server says nothing on the link within {} s: see its log, and whether something \
             on the way holds back what follows an upgrade",
            HANDSHAKE_TIMEOUT.as_secs()
        ))
    })
}

/// What the server says on the link.
async fn look(carried: Carried, relay: &Arc<Relay>, steps: &Steps) -> Result<(), String> {
    let stats = Arc::new(LinkStats::new(0, 0));
    let (events, mut said) = mpsc::channel(EVENTS);
    let goodbye = Goodbye {
        now: CancellationToken::new(),
        deadline: Duration::ZERO,
    };
    let ping_every = IdleCuts::default().ping_every();
    let link = Link::new(relay.clone(), events, stats.clone(), goodbye, ping_every);
    let well = async {
        let urls = loop {
            match said.recv().await {
                Some(LinkEvent::Registered { urls, .. }) => break shown(urls),
                Some(_) => {}
                None => std::future::pending().await,
            }
        };
        let urls = urls.join(" or ");
        steps.done(Step::Name, format!("callers reach the cluster at {urls}"));
        steps.begins(Step::Ping);
        let round_trip = stats.first_round_trip().await;
        steps.done(Step::Ping, format!("{:.1?} there and back", round_trip));
    };
    tokio::select! {
        () = well => Ok(()),
        reason = link.serve(carried) => Err(format!(
            "the link ended ({reason}): something on the way cuts it, or the server does; see its \
             log"
        )),
    }
}
