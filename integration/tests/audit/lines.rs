//! The audit log's lines, found and compared.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, SOON};
use integration::service::Service;
use integration::wait::until;
use serde_json::Value;

/// All lines that the server printed by now.
pub(crate) fn of(server: &Service) -> Vec<Value> {
    let lines = server.log_lines().into_iter();
    lines.filter(|line| line["event"].is_string()).collect()
}

/// All lines of a file; each must be whole.
pub(crate) fn of_file(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path)?;
    ensure!(text.is_empty() || text.ends_with('\n'), "a line is cut");
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
        .collect()
}

/// Those of an event and with that path.
pub(crate) fn at(lines: &[Value], event: &str, path: &str) -> Vec<Value> {
    let found = lines
        .iter()
        .filter(|line| line["event"] == event && line["path"] == path);
    found.cloned().collect()
}

/// Waits for the line of a request that was for that path.
pub(crate) async fn ended(chain: &Chain, path: &str) -> Result<Value> {
    first(chain, "request", path).await
}

/// Waits for the line of a stream.
pub(crate) async fn started(chain: &Chain, path: &str) -> Result<Value> {
    first(chain, "stream_started", path).await
}

async fn first(chain: &Chain, event: &str, path: &str) -> Result<Value> {
    until(&format!("the line {event} {path}"), SOON, || async {
        Ok(at(&of(&chain.server), event, path).into_iter().next())
    })
    .await
}

/// Every field that is expected must be so; null stands for none.
pub(crate) fn must_hold(line: &Value, expected: &Value) -> Result<()> {
    for (field, value) in expected.as_object().context("no object")? {
        ensure!(
            line[field] == *value,
            "{field} is {} instead of {value} in {line}",
            line[field]
        );
    }
    Ok(())
}
