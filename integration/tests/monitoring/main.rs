//! What monitoring asks for exists: metrics, labels and their values in the rules
//! and dashboards, ports and labels in the PodMonitors.

mod expressions;
mod series;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::rendered::{Objects, Tools, manifests, only};
use integration::{suite, tests};
use serde_json::Value;

use expressions::{Expression, all, faults};
use series::Series;

fn main() -> ExitCode {
    suite::run(tests![
        every_expression_finds_what_it_names,
        a_wrong_name_is_found,
        every_alert_says_what_to_do,
        the_pod_monitors_find_the_pods,
    ])
}

/// What the three binaries of a running chain show.
async fn shown(environment: &Environment) -> Result<Series> {
    let chain = environment.chain().await?;
    let mut series = Series::default();
    for service in chain.services() {
        let (status, text) = service.admin_page("/metrics").await?;
        ensure!(status == 200, "{status}");
        series.add(&text)?;
    }
    chain.stop().await?;
    Ok(series)
}

async fn every_expression_finds_what_it_names(environment: Arc<Environment>) -> Result<()> {
    let series = shown(&environment).await?;
    let expressions = all()?;
    ensure!(expressions.len() > 40, "only {}", expressions.len());
    let mut found = Vec::new();
    let mut named = BTreeSet::new();
    for expression in &expressions {
        found.extend(faults(expression, &series, &mut named)?);
    }
    ensure!(found.is_empty(), "{}", found.join("\n"));
    let unused: Vec<_> = series
        .names()
        .filter(|name| !named.contains(*name))
        .collect();
    // All that there is to see is looked at somewhere; of a histogram its buckets.
    let unused: Vec<_> = unused
        .into_iter()
        .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
        .collect();
    ensure!(unused.is_empty(), "in no rule and no dashboard: {unused:?}");
    Ok(())
}

async fn a_wrong_name_is_found(environment: Arc<Environment>) -> Result<()> {
    let series = shown(&environment).await?;
    for (text, expected) in [
        ("tunnel_client_link == 0", "no metric tunnel_client_link"),
        (
            "rate(tunnel_server_requests_total{outcom=\"x\"}[5m])",
            "no label outcom",
        ),
        (
            "tunnel_client_requests_total{outcome=\"answerd\"}",
            "no value",
        ),
        (
            "tunnel_server_requests_total{outcome=~\"no-link|link-ful\"}",
            "link-ful",
        ),
        ("sum by (cluster) (tunnel_server_links)", "by cluster"),
        ("sum by (pod (tunnel_server_links)", "is no PromQL"),
        ("sum(rate(tunnel_server_requests_total))", "is no PromQL"),
    ] {
        let expression = Expression::new("a test", text);
        let found = faults(&expression, &series, &mut BTreeSet::new())?;
        ensure!(
            found.iter().any(|fault| fault.contains(expected)),
            "{text}: {found:?}"
        );
    }
    Ok(())
}

async fn every_alert_says_what_to_do(_: Arc<Environment>) -> Result<()> {
    let mut names = BTreeSet::new();
    for rule in expressions::alerts()? {
        let name = rule["alert"].as_str().context("no alert")?.to_owned();
        let severity = rule["labels"]["severity"].as_str();
        ensure!(matches!(severity, Some("warning" | "critical")), "{name}");
        for key in ["summary", "description", "runbook"] {
            let text = rule["annotations"][key].as_str().unwrap_or_default();
            ensure!(text.ends_with('.'), "{name}: {key} is no sentence: {text}");
        }
        ensure!(names.insert(name.clone()), "{name} is there twice");
    }
    ensure!(names.len() > 10, "{names:?}");
    Ok(())
}

async fn the_pod_monitors_find_the_pods(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    for (part, ports) in [("connector", 2), ("server", 1)] {
        let monitoring = tools.kustomize(&manifests("monitoring").join(part))?;
        let deployed = tools.kustomize(&manifests(part).join("base"))?;
        let monitor = only(&monitoring, "PodMonitor")?;
        let deployment = only(&deployed, "Deployment")?;
        ensure!(monitor["metadata"]["namespace"] == deployment["metadata"]["namespace"]);
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let selector = monitor["spec"]["selector"]["matchLabels"].as_object();
        for (label, value) in selector.context("no selector")? {
            ensure!(
                labels[label] == *value,
                "{part}: no pod has {label}={value}"
            );
        }
        let offered = offered_ports(&deployed)?;
        let asked = monitor["spec"]["podMetricsEndpoints"].as_array();
        let asked = asked.context("no endpoints")?;
        ensure!(asked.len() == ports, "{part}: {asked:?}");
        for endpoint in asked {
            let port = endpoint["port"].as_str().context("no port")?;
            ensure!(
                offered.contains(port),
                "{part}: no port {port} in {offered:?}"
            );
        }
        let dashboard = only(&monitoring, "ConfigMap")?["data"].as_object();
        for (name, text) in dashboard.context("no dashboard")? {
            let text = text.as_str().context("no text")?;
            serde_json::from_str::<Value>(text).with_context(|| name.clone())?;
        }
    }
    Ok(())
}

fn offered_ports(objects: &Objects) -> Result<BTreeSet<String>> {
    let pod = &only(objects, "Deployment")?["spec"]["template"]["spec"];
    Ok(pod["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["ports"].as_array())
        .flatten()
        .filter_map(|port| port["name"].as_str().map(str::to_owned))
        .collect())
}
