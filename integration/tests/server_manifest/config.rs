//! The configuration in the ConfigMap, by the server's own reading.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration::binaries::culvert;
use integration::environment::Environment;
use integration::rendered::{Objects, Tools, only};
use serde_json::Value;
use tunnel_server::cli::Cli;

use crate::renderings;

fn config(objects: &Objects) -> Result<&str> {
    only(objects, "ConfigMap")?["data"]["tunnel-server.yaml"]
        .as_str()
        .context("no tunnel-server.yaml")
}

pub(crate) async fn the_server_takes_each_configuration(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tunnel-server.yaml");
    for rendering in renderings::all(&tools)? {
        for objects in [&rendering.kustomize, &rendering.chart] {
            std::fs::write(&file, config(objects)?)?;
            let output = std::process::Command::new(culvert("tunnel-server")?)
                .arg("check-config")
                .arg(&file)
                .output()?;
            let complaints = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{}: {complaints}", rendering.name);
        }
    }
    Ok(())
}

/// The folder that a file is in, as the pod mounts it.
fn mount<'a>(pod: &'a Value, file: &Path) -> Result<&'a Value> {
    let container = &pod["containers"][0];
    let folder = file.parent().and_then(Path::to_str).context("no folder")?;
    let mounts = container["volumeMounts"].as_array().context("no mounts")?;
    let mount = mounts
        .iter()
        .find(|mount| mount["mountPath"] == folder)
        .with_context(|| format!("{folder} is not mounted"))?;
    ensure!(mount["subPath"].is_null(), "it would never change: {mount}");
    let volumes = pod["volumes"].as_array().context("no volumes")?;
    volumes
        .iter()
        .find(|volume| volume["name"] == mount["name"])
        .context("no such volume")
}

fn port(pod: &Value, name: &str) -> Option<u64> {
    let ports = pod["containers"][0]["ports"].as_array()?;
    ports.iter().find(|port| port["name"] == name)?["containerPort"].as_u64()
}

pub(crate) async fn the_pod_has_what_the_flags_and_the_file_name(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    for rendering in renderings::all(&tools)? {
        let objects = &rendering.kustomize;
        let pod = &only(objects, "Deployment")?["spec"]["template"]["spec"];
        let args = pod["containers"][0]["args"].as_array().context("no args")?;
        let args = args.iter().filter_map(Value::as_str);
        let flags = Cli::try_parse_from(["tunnel-server"].into_iter().chain(args))?.run;
        let volume = mount(pod, &flags.config)?;
        let map = only(objects, "ConfigMap")?;
        ensure!(volume["configMap"]["name"] == map["metadata"]["name"]);
        let key = flags.config.file_name().and_then(|name| name.to_str());
        ensure!(map["data"][key.unwrap_or_default()].is_string(), "{map}");

        let config: Value = serde_saphyr::from_str(config(objects)?)?;
        // The keys of a Secret of type kubernetes.io/tls.
        for (file, key) in [("certificateFile", "tls.crt"), ("keyFile", "tls.key")] {
            let path = PathBuf::from(config["certificate"][file].as_str().context("no path")?);
            ensure!(path.ends_with(key), "{path:?}");
            let volume = mount(pod, &path)?;
            ensure!(
                volume["secret"]["secretName"] == "tunnel-server-tls",
                "{volume}"
            );
        }
        for (key, name) in [("listen", "tls"), ("adminListen", "server-admin")] {
            let address: SocketAddr = config[key].as_str().context("no address")?.parse()?;
            ensure!(!address.ip().is_loopback(), "nobody reaches {address}");
            ensure!(port(pod, name) == Some(address.port().into()), "{name}");
        }
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        ensure!(grace > flags.drain_seconds, "killed while it drains");
        let service = only(objects, "Service")?;
        let selector = service["spec"]["selector"].as_object().context("none")?;
        let labels = &only(objects, "Deployment")?["spec"]["template"]["metadata"]["labels"];
        for (label, value) in selector {
            ensure!(labels[label] == *value, "the Service finds no pod: {label}");
        }
        ensure!(service["spec"]["ports"][0]["port"] == config["publicPort"]);
    }
    Ok(())
}
