//! What has to be the same, and what differs on purpose.

use anyhow::{Context, Result, ensure};

use crate::proxies::{Exchange, Proxies, Side, sorted};

/// A request, sent as it stands. Every connection ends with it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Method and target.
    line: String,
    headers: Vec<String>,
    body: String,
    host: bool,
    departs: Option<Departure>,
}

/// Where the two differ on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Errors of the proxy itself are a Kubernetes `Status`; their code may be
    /// another, too.
    Status(u16),
    /// It passes here, and is refused there.
    Accepted,
    /// It is refused here by the filter, and passes there.
    Refused,
    /// The redirect's target: kubectl's escapes it twice.
    Redirect,
}

/// What `--kubectl-errors` makes the same again.
pub(crate) fn as_kubectl(cases: Vec<Case>) -> Vec<Case> {
    let status = |case: &Case| matches!(case.departs, Some(Departure::Status(403)));
    let cases = cases.into_iter().filter(status);
    let same = |case| Case {
        departs: None,
        ..case
    };
    cases.map(same).collect()
}

pub(crate) fn get(target: &str) -> Case {
    case("GET", target)
}

pub(crate) fn case(method: &str, target: &str) -> Case {
    Case {
        line: format!("{method} {target}"),
        headers: Vec::new(),
        body: String::new(),
        host: true,
        departs: None,
    }
}

impl Case {
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    /// Instead of `Host: localhost`.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = false;
        self.with(&format!("Host: {host}"))
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    pub(crate) fn departs(mut self, how: Departure) -> Self {
        self.departs = Some(how);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut lines = vec![format!("{} HTTP/1.1", self.line)];
        if self.host {
            lines.push("Host: localhost".into());
        }
        lines.extend(self.headers.iter().cloned());
        // Its own could be what is tested.
        if !lines
            .iter()
            .any(|line| line.to_lowercase().starts_with("connection:"))
        {
            lines.push("Connection: close".into());
        }
        format!("{}\r\n\r\n{}", lines.join("\r\n"), self.body).into_bytes()
    }
}

/// Names of all cases that differ where they must not.
pub(crate) async fn compare(proxies: &Proxies, cases: Vec<Case>) -> Result<()> {
    let mut differ = Vec::new();
    let count = cases.len();
    for case in cases {
        let bytes = case.bytes();
        let told = || format!("{case:?}");
        let kubectl = proxies.exchange(Side::Kubectl, &bytes).await;
        let kubectl = kubectl.with_context(|| format!("kubectl: {}", told()))?;
        let ours = proxies.exchange(Side::Ours, &bytes).await;
        let ours = ours.with_context(|| format!("proxy-sidecar: {}", told()))?;
        if let Err(error) = same(&case, &kubectl, &ours) {
            differ.push(format!("{}: {error}", told()));
        }
    }
    println!("{count} requests");
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    Ok(())
}

fn same(case: &Case, kubectl: &Exchange, ours: &Exchange) -> Result<()> {
    let statuses = (kubectl.answer.status, ours.answer.status);
    match case.departs {
        Some(Departure::Accepted) => {
            ensure!(
                kubectl.asked.is_none() && ours.asked.is_some(),
                "{statuses:?}"
            );
            return Ok(());
        }
        Some(how @ (Departure::Status(_) | Departure::Refused)) => {
            let (refused, status) = match how {
                Departure::Status(status) => (true, status),
                _ => (false, 403),
            };
            ensure!((kubectl.answer.status >= 400) == refused, "{statuses:?}");
            ensure!(ours.answer.status == status, "{statuses:?}");
            ensure!(ours.asked.is_none(), "the upstream was asked");
            let body: serde_json::Value = serde_json::from_slice(&ours.answer.body)?;
            ensure!(body["kind"] == "Status", "{body}");
            return Ok(());
        }
        _ => {}
    }
    ensure!(statuses.0 == statuses.1, "statuses {statuses:?}");
    let without: &[&str] = match case.departs {
        Some(Departure::Redirect) => &["date", "location", "content-length"],
        _ => &["date"],
    };
    let headers = [kubectl, ours].map(|one| sorted(&one.answer.headers, without));
    ensure!(headers[0] == headers[1], "answers {:?}", apart(&headers));
    if case.departs.is_none() {
        let bodies = [kubectl, ours].map(|one| String::from_utf8_lossy(&one.answer.body));
        ensure!(bodies[0] == bodies[1], "bodies {bodies:?}");
    }
    ensure!(
        kubectl.ended == ours.ended,
        "ends {:?} {:?}",
        kubectl.ended,
        ours.ended
    );
    match (&kubectl.asked, &ours.asked) {
        (None, None) => Ok(()),
        (Some(kubectl), Some(ours)) => {
            let heads = [kubectl, ours].map(|one| (one.method.as_str(), one.target.as_str()));
            ensure!(heads[0] == heads[1], "asked {heads:?}");
            // kubectl names itself where the caller does not, and asks for gzip on
            // its own account, which it then decodes. Its credential it keeps back
            // from an upstream without TLS; ours does so beyond loopback.
            let own = ["user-agent", "accept-encoding", "authorization"];
            let own: Vec<_> = own.into_iter().filter(|name| !case.sends(name)).collect();
            let headers = [kubectl, ours].map(|one| sorted(&one.headers, &own));
            ensure!(headers[0] == headers[1], "asked with {:?}", apart(&headers));
            ensure!(kubectl.body == ours.body, "bodies");
            Ok(())
        }
        (kubectl, ours) => {
            anyhow::bail!("asked {:?} and {:?}", kubectl.is_some(), ours.is_some())
        }
    }
}

type Lines = Vec<(String, String)>;

/// Those of the one, and those of the other alone.
fn apart([one, other]: &[Lines; 2]) -> [Lines; 2] {
    let without = |lines: &Lines, those: &Lines| {
        let rest = lines.iter().filter(|line| !those.contains(line));
        rest.cloned().collect()
    };
    [without(one, other), without(other, one)]
}

impl Case {
    fn sends(&self, name: &str) -> bool {
        let name = format!("{name}:");
        self.headers
            .iter()
            .any(|line| line.to_lowercase().starts_with(&name))
    }
}
