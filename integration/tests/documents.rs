//! What the documents say of flags and files, held against the code. With
//! `CULVERT_WRITE_DOCS=1` the tables of flags are written anew.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command as Process;

use anyhow::{Context, Result, ensure};
use clap::{Arg, Command, CommandFactory};
use integration::binaries::culvert;

const BEGIN: &str = "<!-- made from the code -->\n";
const END: &str = "<!-- end -->\n";

fn document(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

#[test]
fn the_tables_of_flags_are_the_codes() -> Result<()> {
    let path = document("docs/flags.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context("no begin of the tables")?;
    let (written, after) = rest.split_once(END).context("no end of the tables")?;
    let made = [
        tunnel_server::cli::Cli::command().name("tunnel-server"),
        tunnel_client::Cli::command().name("tunnel-client"),
        proxy_sidecar::Args::command().name("proxy-sidecar"),
    ]
    .iter()
    .map(tables)
    .collect::<Result<String>>()?;
    if std::env::var_os("CULVERT_WRITE_DOCS").is_some() {
        std::fs::write(&path, [before, BEGIN, &made, END, after].concat())?;
        return Ok(());
    }
    ensure!(
        written == made,
        "docs/flags.md is not what the code says: run CULVERT_WRITE_DOCS=1 cargo test -p integration --test documents"
    );
    Ok(())
}

/// A command's flags, and its subcommands.
fn tables(command: &Command) -> Result<String> {
    let mut text = format!(
        "\n## {}\n\n{}.\n\n| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n",
        command.get_name(),
        one_line(command.get_about().map(ToString::to_string)).trim_end_matches('.')
    );
    let told = |one: &&Arg| !is_clap_own(one) && !one.is_hide_set();
    for argument in command.get_arguments().filter(told) {
        writeln!(text, "{}", row(argument)?)?;
    }
    for subcommand in command.get_subcommands() {
        subcommands(&mut text, command.get_name(), subcommand)?;
    }
    Ok(text)
}

fn subcommands(text: &mut String, parents: &str, command: &Command) -> Result<()> {
    let name = format!("{parents} {}", command.get_name());
    if command.has_subcommands() {
        return command
            .get_subcommands()
            .try_for_each(|subcommand| subcommands(text, &name, subcommand));
    }
    let values: Vec<_> = command
        .get_positionals()
        .map(|value| {
            let possible = value.get_possible_values();
            let names: Vec<_> = possible.iter().map(|value| value.get_name()).collect();
            if names.is_empty() {
                value.get_id().as_str().to_uppercase()
            } else {
                names.join("|")
            }
        })
        .collect();
    let about = one_line(command.get_about().map(ToString::to_string));
    Ok(writeln!(text, "\n`{name} {}`: {about}.", values.join(" "))?)
}

fn row(argument: &Arg) -> Result<String> {
    let long = argument.get_long().context("a flag without a name")?;
    let short = argument
        .get_short()
        .map(|short| format!("`-{short}`, "))
        .unwrap_or_default();
    let takes_value = argument.get_action().takes_values();
    let optional = argument
        .get_num_args()
        .is_some_and(|count| count.min_values() == 0);
    let value = match argument.get_value_names() {
        Some(names) if takes_value && optional => format!(" [{}]", names.join(" ")),
        Some(names) if takes_value => format!(" {}", names.join(" ")),
        _ => String::new(),
    };
    let environment = argument
        .get_env()
        .map(|name| format!("`{}`", name.to_string_lossy()))
        .unwrap_or_default();
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .filter(|_| takes_value)
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let meaning = one_line(argument.get_help().map(ToString::to_string));
    Ok(format!(
        "| {short}`--{long}{value}` | {environment} | {} | {meaning} |",
        defaults.join(" ")
    ))
}

fn one_line(text: Option<String>) -> String {
    let text = text.unwrap_or_default().replace('|', "\\|");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_clap_own(argument: &Arg) -> bool {
    ["help", "version"].contains(&argument.get_id().as_str())
}

/// The blocks of the README that are marked as YAML.
fn yaml_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0))
}

#[test]
fn the_readmes_configuration_has_no_fault() -> Result<()> {
    let text = std::fs::read_to_string(document("README.md"))?;
    let configuration = yaml_blocks(&text)
        .find(|block| block.contains("baseDomain:"))
        .context("the README shows no configuration")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), configuration)?;
    let output = Process::new(culvert("tunnel-server")?)
        .arg("check-config")
        .arg(file.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(said.contains("1 clusters, 1 callers"), "{said}");
    Ok(())
}

#[test]
fn the_readme_names_every_failure() -> Result<()> {
    let text = std::fs::read_to_string(document("README.md"))?;
    for failure in tunnel_protocol::Failure::ALL {
        let code = failure.code();
        ensure!(text.contains(&format!("`{code}`")), "{code} is missing");
    }
    Ok(())
}

/// Paths that the README links to.
#[test]
fn the_readmes_links_lead_somewhere() -> Result<()> {
    let text = std::fs::read_to_string(document("README.md"))?;
    let mut links = 0;
    for target in text.split("](").skip(1) {
        let target = target.split(')').next().unwrap_or_default();
        if target.contains("://") || target.starts_with('#') {
            continue;
        }
        links += 1;
        ensure!(document(target).exists(), "{target} is not there");
    }
    ensure!(links > 5, "found {links} links");
    Ok(())
}

/// What tests run nginx and HAProxy with.
#[test]
fn the_load_balancers_page_shows_their_files() -> Result<()> {
    let page = std::fs::read_to_string(document("docs/load-balancers.md"))?;
    let mut files = 0;
    for entry in std::fs::read_dir(document("docs/load-balancers"))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let is_shown = page.contains(&format!("\n{text}```\n"));
        ensure!(is_shown, "{} is not what the page shows", path.display());
        files += 1;
    }
    ensure!(files == 4, "{files} files");
    Ok(())
}

#[test]
fn the_load_balancers_pages_settings_have_no_fault() -> Result<()> {
    let page = std::fs::read_to_string(document("docs/load-balancers.md"))?;
    let settings: Vec<_> = yaml_blocks(&page)
        .filter(|block| block.contains("trustedProxies:") || block.contains("proxyProtocol:"))
        .filter(|block| !block.contains("tcp:"))
        .collect();
    ensure!(settings.len() == 5, "{} of them", settings.len());
    for block in settings {
        let listen = match block.contains("listen:") {
            true => "",
            false => "listen: 127.0.0.1:8443\n",
        };
        let file = tempfile::NamedTempFile::new()?;
        let text = format!("baseDomain: clusters.example.com\n{listen}{block}");
        std::fs::write(file.path(), text)?;
        let mut check = Process::new(culvert("tunnel-server")?);
        let output = check.arg("check-config").arg(file.path()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{block}: {said}");
    }
    Ok(())
}
