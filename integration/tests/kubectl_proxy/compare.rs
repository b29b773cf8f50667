//! What has to be the same, and what differs on purpose.

use anyhow::{Context, Result, ensure};
use integration::http1::Request;

use crate::proxies::{Exchange, Proxies, Side, sorted};

/// A request, sent as it stands. Every connection ends with it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Method, target and version.
    line: Vec<u8>,
    headers: Vec<Vec<u8>>,
    body: Vec<u8>,
    host: bool,
    departs: Option<Departure>,
}

/// Where the two differ on purpose, as `docs/proxy-sidecar.md` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Errors of the proxy itself are a Kubernetes `Status`; their code may be
    /// another, too.
    Status(u16),
    /// Both refuse what is no request, with this code there and that code here; what
    /// is said beside it differs.
    Unreadable(u16, u16),
    /// It passes here, and is refused there.
    Accepted,
    /// It is refused here, and passes there.
    Refused(u16),
    /// The redirect's target: kubectl's escapes it twice.
    Redirect,
    /// The upstream is asked for this, which means the same.
    Target(&'static str),
    /// The upstream's answer is passed on; kubectl's own is 500.
    Passed(u16),
    /// These headers are not sent on.
    Kept(&'static [&'static str]),
}

/// What `--kubectl-errors` makes the same again.
pub(crate) fn as_kubectl(cases: Vec<Case>) -> Vec<Case> {
    let status = |case: &Case| matches!(case.departs, Some(Departure::Status(400 | 403 | 417)));
    let cases = cases.into_iter().filter(status);
    let same = |case| Case {
        departs: None,
        ..case
    };
    cases.map(same).collect()
}

pub(crate) fn get(target: impl AsRef<[u8]>) -> Case {
    case("GET", target)
}

pub(crate) fn case(method: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Case {
    line([method.as_ref(), b" ", target.as_ref(), b" HTTP/1.1"].concat())
}

/// With this first line.
pub(crate) fn line(line: impl AsRef<[u8]>) -> Case {
    Case {
        line: line.as_ref().to_vec(),
        headers: Vec::new(),
        body: Vec::new(),
        host: true,
        departs: None,
    }
}

impl Case {
    pub(crate) fn with(mut self, line: impl AsRef<[u8]>) -> Self {
        self.headers.push(line.as_ref().to_vec());
        self
    }

    /// Instead of `Host: localhost`.
    pub(crate) fn host(self, host: impl AsRef<[u8]>) -> Self {
        let host = [b"Host: ", host.as_ref()].concat();
        self.without_host().with(host)
    }

    pub(crate) fn without_host(mut self) -> Self {
        self.host = false;
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) fn departs(mut self, how: Departure) -> Self {
        self.departs = Some(how);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut lines = vec![self.line.clone()];
        if self.host {
            lines.push(b"Host: localhost".to_vec());
        }
        lines.extend(self.headers.iter().cloned());
        // Its own could be what is tested.
        if !self.sends("connection") {
            lines.push(b"Connection: close".to_vec());
        }
        [&lines.join(&b"\r\n"[..]), &b"\r\n\r\n"[..], &self.body].concat()
    }

    fn sends(&self, name: &str) -> bool {
        let named = |line: &Vec<u8>| {
            let start = line.get(..=name.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(format!("{name}:").as_bytes())
        };
        self.headers.iter().any(named)
    }

    fn told(&self) -> String {
        let bytes = self.bytes();
        let start = bytes.get(..300).unwrap_or(&bytes);
        format!("{} ({:?})", start.escape_ascii(), self.departs)
    }
}

/// Names all cases that differ where they must not.
pub(crate) async fn compare(proxies: &Proxies, cases: Vec<Case>) -> Result<()> {
    let mut differ = Vec::new();
    let count = cases.len();
    for case in cases {
        let bytes = case.bytes();
        let kubectl = proxies.exchange(Side::Kubectl, &bytes).await;
        let kubectl = kubectl.with_context(|| format!("kubectl: {}", case.told()))?;
        let ours = proxies.exchange(Side::Ours, &bytes).await;
        let ours = ours.with_context(|| format!("proxy-sidecar: {}", case.told()))?;
        if let Err(error) = same(&case, &kubectl, &ours) {
            differ.push(format!("{}: {error}", case.told()));
        }
    }
    println!("{count} requests");
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    Ok(())
}

fn same(case: &Case, kubectl: &Exchange, ours: &Exchange) -> Result<()> {
    let statuses = (kubectl.answer.status, ours.answer.status);
    let asked = (kubectl.asked.is_some(), ours.asked.is_some());
    match case.departs {
        Some(Departure::Accepted) => {
            ensure!(asked == (false, true), "{statuses:?}, {asked:?}");
            ensure!(kubectl.answer.status >= 300, "{statuses:?}");
            return Ok(());
        }
        Some(Departure::Refused(status)) => {
            ensure!(kubectl.answer.status < 400, "{statuses:?}");
            ensure!(ours.answer.status == status && !asked.1, "{statuses:?}");
            return Ok(());
        }
        Some(Departure::Status(status)) => {
            ensure!(kubectl.answer.status >= 400, "{statuses:?}");
            ensure!(ours.answer.status == status, "{statuses:?}");
            ensure!(!asked.1, "the upstream was asked");
            let body: serde_json::Value = serde_json::from_slice(&ours.answer.body)?;
            ensure!(body["kind"] == "Status", "{body}");
            return Ok(());
        }
        Some(Departure::Unreadable(there, here)) => {
            ensure!(statuses == (there, here), "{statuses:?}");
            ensure!(asked == (false, false), "the upstream was asked: {asked:?}");
            ensure!(kubectl.ended == ours.ended);
            return Ok(());
        }
        Some(Departure::Passed(status)) => {
            ensure!(statuses == (500, status), "{statuses:?}");
            ensure!(asked == (true, true), "{asked:?}");
            return Ok(());
        }
        _ => {}
    }
    ensure!(statuses.0 == statuses.1, "statuses {statuses:?}");
    same_answers(case, kubectl, ours)?;
    match (&kubectl.asked, &ours.asked) {
        (None, None) => Ok(()),
        (Some(kubectl), Some(ours)) => same_asked(case, kubectl, ours),
        _ => anyhow::bail!("asked {asked:?}"),
    }
}

fn same_answers(case: &Case, kubectl: &Exchange, ours: &Exchange) -> Result<()> {
    let redirects = case.departs == Some(Departure::Redirect);
    let without: &[&str] = match redirects {
        true => &["date", "location", "content-length"],
        false => &["date"],
    };
    let headers = [kubectl, ours].map(|one| sorted(&one.answer.headers, without));
    ensure!(headers[0] == headers[1], "answers {:?}", apart(&headers));
    if !redirects {
        let bodies = [kubectl, ours].map(|one| String::from_utf8_lossy(&one.answer.body));
        ensure!(bodies[0] == bodies[1], "bodies {bodies:?}");
    }
    let ends = (kubectl.ended, ours.ended);
    ensure!(ends.0 == ends.1, "ends {ends:?}");
    Ok(())
}

fn same_asked(case: &Case, kubectl: &Request, ours: &Request) -> Result<()> {
    let heads = [kubectl, ours].map(|one| (one.method.as_str(), one.target.as_str()));
    match case.departs {
        Some(Departure::Target(target)) => {
            ensure!(ours.target == target, "asked {heads:?}");
            ensure!(kubectl.target != target, "it is the same");
        }
        _ => ensure!(heads[0] == heads[1], "asked {heads:?}"),
    }
    ensure!(kubectl.version == ours.version, "versions");
    // kubectl names itself where the caller does not, and asks for gzip on its own
    // account, which it then decodes. Its credential it keeps back from an upstream
    // without TLS; ours does so beyond loopback.
    let own = ["user-agent", "accept-encoding", "authorization"];
    let mut own: Vec<_> = own.into_iter().filter(|name| !case.sends(name)).collect();
    for name in own.iter().filter(|name| **name != "authorization") {
        ensure!(!has(ours, name), "ours sends {name} of its own");
    }
    if let Some(Departure::Kept(names)) = case.departs {
        let sent = |one: &Request| names.iter().any(|name| has(one, name));
        ensure!(sent(kubectl) && !sent(ours), "of {names:?}");
        own.extend(names);
    }
    let headers = [kubectl, ours].map(|one| sorted(&one.headers, &own));
    ensure!(headers[0] == headers[1], "asked with {:?}", apart(&headers));
    ensure!(kubectl.body == ours.body, "bodies");
    Ok(())
}

fn has(request: &Request, name: &str) -> bool {
    let mut names = request.headers.iter().map(|(name, _)| name);
    names.any(|one| one.eq_ignore_ascii_case(name))
}

type Lines = Vec<(String, String)>;

/// Those of the one, and those of the other alone.
pub(crate) fn apart([one, other]: &[Lines; 2]) -> [Lines; 2] {
    let without = |lines: &Lines, those: &Lines| {
        let rest = lines.iter().filter(|line| !those.contains(line));
        rest.cloned().collect()
    };
    [without(one, other), without(other, one)]
}
