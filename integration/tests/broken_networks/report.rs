//! Runs `tunnel-client check`, and reads what it says.

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use integration::binaries::culvert;
use integration::chain::{Chain, client_arguments};
use integration::environment::Environment;
use serde_json::Value;
use tokio::process::Command;

/// What a check with these flags has to say.
pub(crate) struct Row<'a> {
    pub(crate) network: &'a str,
    /// Flags that are others than the chain's.
    pub(crate) flags: Vec<(&'a str, String)>,
    pub(crate) variables: Vec<(&'a str, String)>,
    /// The step that fails.
    pub(crate) step: &'a str,
    /// What its line has to say: the box, and the cure.
    pub(crate) says: &'a [&'a str],
}

impl<'a> Row<'a> {
    /// Where only the server is another one.
    pub(crate) fn to(
        network: &'a str,
        server: impl Into<String>,
        step: &'a str,
        says: &'a [&'a str],
    ) -> Self {
        Self {
            network,
            flags: vec![("--server", server.into())],
            variables: Vec::new(),
            step,
            says,
        }
    }
}

/// All that a check said.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) exit: i32,
    pub(crate) json: Value,
}

impl Report {
    /// The steps: name, whether it went well, what was seen.
    pub(crate) fn steps(&self) -> Result<Vec<(&str, bool, &str)>> {
        let steps = self.json["steps"].as_array().context("no steps")?.iter();
        let step = |step: &'_ Value| -> Option<(String, bool, String)> {
            let text = |name: &str| Some(step[name].as_str()?.to_owned());
            Some((text("step")?, step["ok"].as_bool()?, text("seen")?))
        };
        for one in steps.clone() {
            step(one).with_context(|| format!("not a step: {one}"))?;
        }
        Ok(steps
            .filter_map(|step| {
                let text = |name: &str| step[name].as_str();
                Some((text("step")?, step["ok"].as_bool()?, text("seen")?))
            })
            .collect())
    }

    /// The first step that fails, and what it says.
    pub(crate) fn fails(&self) -> Result<Option<(&str, &str)>> {
        let steps = self.steps()?;
        let fails = steps.into_iter().find(|(_, ok, _)| !ok);
        Ok(fails.map(|(step, _, seen)| (step, seen)))
    }
}

/// The chain's arguments for a check, with some changed.
fn arguments(chain: &Chain, flags: &[(&str, String)]) -> Result<Vec<String>> {
    let mut arguments = vec!["check".to_owned()];
    arguments.extend(client_arguments(chain.server_address, chain.upstream()?));
    for (flag, value) in flags {
        let at = arguments.iter().position(|argument| argument == flag);
        match at.and_then(|at| arguments.get_mut(at + 1)) {
            Some(given) => given.clone_from(value),
            None => arguments.extend([(*flag).to_owned(), value.clone()]),
        }
    }
    Ok(arguments)
}

/// A check, with what it wrote to standard output.
pub(crate) async fn text(
    environment: &Environment,
    chain: &Chain,
    flags: &[(&str, String)],
    variables: &[(&str, String)],
    further: &[&str],
) -> Result<(i32, String)> {
    let mut command = Command::new(culvert("tunnel-client")?);
    command
        .args(arguments(chain, flags)?)
        .args(further)
        .current_dir(chain.folder())
        .env_clear()
        .kill_on_drop(true);
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().await?;
    let (out, err) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    for text in [&out, &err] {
        environment
            .secrets
            .must_not_be_in("what a check says", text)?;
    }
    let exit = output.status.code();
    Ok((exit.with_context(|| format!("it was killed: {err}"))?, out))
}

/// A check's JSON.
pub(crate) async fn check(
    environment: &Environment,
    chain: &Chain,
    flags: &[(&str, String)],
    variables: &[(&str, String)],
) -> Result<Report> {
    let (exit, out) = text(environment, chain, flags, variables, &["--json"]).await?;
    let json = serde_json::from_str(&out).with_context(|| format!("no JSON: {out:?}"))?;
    Ok(Report { exit, json })
}

/// Each network's check says what it should; all of them are asked before it is judged.
pub(crate) async fn told(environment: &Environment, chain: &Chain, rows: &[Row<'_>]) -> Result<()> {
    let asked = rows.iter().map(async |row| {
        let report = check(environment, chain, &row.flags, &row.variables).await?;
        anyhow::Ok((row, report))
    });
    let mut wrong = Vec::new();
    for (row, report) in try_join_all(asked).await? {
        ensure!(report.exit == 1, "{}: {report:?}", row.network);
        ensure!(report.json["ok"] == false, "{}: {report:?}", row.network);
        let Some((step, seen)) = report.fails()? else {
            bail!("{}: all went well: {report:?}", row.network);
        };
        println!("{:<34} {step:<8} {seen}", row.network);
        let missing: Vec<_> = row
            .says
            .iter()
            .filter(|text| !seen.contains(**text))
            .collect();
        if step != row.step || !missing.is_empty() {
            wrong.push(format!(
                "{}: at {step} instead of {}, without {missing:?}: {seen}",
                row.network, row.step
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
