//! The arguments and variables of each choice, as our own binaries read them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::{CommandFactory, Parser};
use integration::environment::Environment;
use serde_json::Value;

use crate::objects::{Objects, container, only};
use crate::render::{RELEASE, Tools, folders};

/// Variables that no flag has: libraries and the shell of habits read them.
const NOT_OF_A_FLAG: [&str; 3] = ["HTTPS_PROXY", "NO_PROXY", "POD_NAMESPACE"];

pub(crate) async fn the_binaries_take_the_flags_of_each_choice(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    check(&tools.base_with(&[])?, false).context("base")?;
    for name in folders("components")? {
        let objects = tools.base_with(&[&name])?;
        check(&objects, name == "allow-exec").with_context(|| name.clone())?;
    }
    Ok(())
}

/// Of tunnel-client alone, whose values most are.
pub(crate) fn the_binary_takes_the_flags_of(objects: &Objects) -> Result<()> {
    let secret = Path::new("/run/culvert/sidecar-secret/secret");
    check_client(container(objects, "tunnel-client")?, secret)
}

fn check(objects: &Objects, exec_allowed: bool) -> Result<()> {
    let sidecar = container(objects, "proxy-sidecar")?;
    let client = container(objects, "tunnel-client")?;
    let secret = check_sidecar(sidecar, exec_allowed)?;
    check_client(client, &secret)?;
    check_end(objects, sidecar, client)
}

/// The client ends first, and kubelet kills neither.
fn check_end(objects: &Objects, sidecar: &Value, client: &Value) -> Result<()> {
    let pod = &only(objects, "Deployment")?["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64();
    let grace = grace.context("no time to end")?;
    let clients =
        tunnel_client::Args::try_parse_from(command_line::<tunnel_client::Args>(client)?)?;
    ensure!(clients.drain_seconds < grace, "killed while it drains");
    let pause = sidecar["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    if sidecar["restartPolicy"] == "Always" {
        ensure!(pause.is_none(), "it is told when the client has ended");
        return Ok(());
    }
    let pause = pause.context("an idle client may meet a closed port")?;
    let sidecars =
        proxy_sidecar::Args::try_parse_from(command_line::<proxy_sidecar::Args>(sidecar)?)?;
    let end = pause + sidecars.drain_seconds;
    ensure!(end > clients.drain_seconds, "it ends before the client");
    ensure!(end < grace, "killed while it drains");
    Ok(())
}

/// Gives the file with the secret.
fn check_sidecar(container: &Value, exec_allowed: bool) -> Result<PathBuf> {
    let args =
        proxy_sidecar::Args::try_parse_from(command_line::<proxy_sidecar::Args>(container)?)?;
    ensure!(args.require_own_credential, "a caller's credential passes");
    ensure!(args.reject_token_requests, "tokens may be requested");
    ensure!(!args.disable_filter, "there is no filter");
    ensure!(
        args.protect_namespaces == [RELEASE],
        "{:?}",
        args.protect_namespaces
    );
    let default = proxy_sidecar::Args::try_parse_from(["proxy-sidecar"])?;
    let rejected = if exec_allowed {
        ""
    } else {
        &default.reject_paths
    };
    ensure!(args.reject_paths == rejected, "{}", args.reject_paths);
    ensure!(
        args.address.parse::<IpAddr>()?.is_loopback(),
        "{} is open to all",
        args.address
    );
    let admin = args.admin_address.context("no --admin-address")?;
    ensure!(admin.port() == port(container)?);
    ensure!(!admin.ip().is_loopback(), "kubelet cannot probe");
    let secret = args.secret_file.context("no --secret-file")?;
    ensure!(secret.parent() == Some(mount(container, "sidecar-secret")?));
    Ok(secret)
}

fn check_client(container: &Value, secret: &Path) -> Result<()> {
    let args =
        tunnel_client::Args::try_parse_from(command_line::<tunnel_client::Args>(container)?)?;
    let token = args.token_file.context("no --token-file")?;
    ensure!(token == mount(container, "connector-token")?.join("token"));
    ensure!(args.sidecar_secret_file.as_deref() == Some(secret));
    ensure!(args.upstream == "127.0.0.1:8001", "{}", args.upstream);
    ensure!(args.admin_address.port() == port(container)?);
    ensure!(
        !args.admin_address.ip().is_loopback(),
        "kubelet cannot probe"
    );
    for (file, volume) in [
        (args.ca_file, "tunnel-server-ca"),
        (args.proxy_ca_file, "http-proxy-ca"),
        (args.client_certificate, "client-certificate"),
        (args.client_key, "client-certificate"),
    ] {
        if let Some(file) = file {
            ensure!(file.parent() == Some(mount(container, volume)?), "{volume}");
        }
    }
    Ok(())
}

fn port(container: &Value) -> Result<u16> {
    let port = container["ports"][0]["containerPort"].as_u64();
    Ok(port.context("no port")?.try_into()?)
}

fn mount<'a>(container: &'a Value, volume: &str) -> Result<&'a Path> {
    let mounts = container["volumeMounts"].as_array();
    let mount = mounts.into_iter().flatten().find(|it| it["name"] == volume);
    let path = mount.and_then(|mount| mount["mountPath"].as_str());
    Ok(Path::new(
        path.with_context(|| format!("{volume} is not mounted"))?,
    ))
}

/// The container's arguments, and its variables as the flags that they set.
fn command_line<Args: CommandFactory>(container: &Value) -> Result<Vec<String>> {
    let name = container["name"].as_str().context("no name")?;
    let mut line = vec![name.to_owned()];
    for argument in container["args"].as_array().into_iter().flatten() {
        let argument = argument.as_str().context("an argument is no text")?;
        line.push(expanded(argument, container)?);
    }
    let command = Args::command();
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"]
            .as_str()
            .context("a variable without name")?;
        let flag = command
            .get_arguments()
            .find(|flag| flag.get_env().is_some_and(|env| env == name))
            .and_then(|flag| flag.get_long());
        match (flag, variable["value"].as_str()) {
            (Some(flag), Some(value)) => line.push(format!("--{flag}={value}")),
            (None, _) if NOT_OF_A_FLAG.contains(&name) => {}
            _ => bail!("no flag is set by {variable}"),
        }
    }
    Ok(line)
}

/// As kubelet expands `$(POD_NAMESPACE)`.
fn expanded(argument: &str, container: &Value) -> Result<String> {
    let variables = container["env"].as_array();
    let namespace = variables.into_iter().flatten().any(|variable| {
        variable["name"] == "POD_NAMESPACE"
            && variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
    });
    let expanded = if namespace {
        argument.replace("$(POD_NAMESPACE)", RELEASE)
    } else {
        argument.to_owned()
    };
    ensure!(!expanded.contains("$("), "{expanded} stays as it is");
    Ok(expanded)
}
