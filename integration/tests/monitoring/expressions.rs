//! The expressions of rules and dashboards, and what is wrong with them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use integration::rendered::manifests;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, AggregateExpr, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use crate::series::Series;

/// What Prometheus adds when it scrapes as the PodMonitors say.
const OF_THE_SCRAPE: [&str; 6] = [
    "namespace",
    "pod",
    "container",
    "job",
    "instance",
    "endpoint",
];

/// One expression.
pub(crate) struct Expression {
    place: String,
    text: String,
}

impl Expression {
    pub(crate) fn new(place: impl Into<String>, text: &str) -> Self {
        Self {
            place: place.into(),
            // Grafana's variables.
            text: text
                .replace("$__rate_interval", "5m")
                .replace("$namespace", ".*"),
        }
    }
}

/// The rules' alerts.
pub(crate) fn alerts() -> Result<Vec<Value>> {
    let mut alerts = Vec::new();
    for part in ["connector", "server"] {
        let file = manifests("monitoring").join(part).join("rules.yaml");
        let rules: Value = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
        for group in rules["spec"]["groups"].as_array().context("no groups")? {
            alerts.extend(group["rules"].as_array().context("no rules")?.clone());
        }
    }
    Ok(alerts)
}

/// All of them.
pub(crate) fn all() -> Result<Vec<Expression>> {
    let mut expressions = Vec::new();
    for alert in alerts()? {
        let name = alert["alert"].as_str().context("no name")?;
        let text = alert["expr"].as_str().context("no expression")?;
        expressions.push(Expression::new(name, text));
    }
    for part in ["connector", "server"] {
        let file = manifests("monitoring").join(part).join("dashboard.json");
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        for panel in dashboard["panels"].as_array().context("no panels")? {
            let title = panel["title"].as_str().context("no title")?;
            for target in panel["targets"].as_array().context("no targets")? {
                let text = target["expr"].as_str().context("no expression")?;
                expressions.push(Expression::new(format!("{part}: {title}"), text));
            }
        }
        for variable in dashboard["templating"]["list"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let query = variable["query"].as_str().unwrap_or_default();
            if let Some(rest) = query.strip_prefix("label_values(") {
                let metric = rest.split(',').next().unwrap_or_default();
                expressions.push(Expression::new(format!("{part}: a variable"), metric));
            }
        }
    }
    Ok(expressions)
}

/// What is wrong with one; adds the metrics that it names.
pub(crate) fn faults(
    expression: &Expression,
    series: &Series,
    named: &mut BTreeSet<String>,
) -> Result<Vec<String>> {
    let parsed = match parser::parse(&expression.text) {
        Ok(parsed) => parsed,
        Err(error) => {
            return Ok(vec![format!(
                "{}: {:?} is no PromQL: {error}",
                expression.place, expression.text
            )]);
        }
    };
    let mut check = Check {
        series,
        selected: BTreeSet::new(),
        grouped: BTreeSet::new(),
        faults: Vec::new(),
    };
    walk_expr(&mut check, &parsed)?;
    check.groups();
    named.extend(check.selected);
    let at = |fault| format!("{}: {fault} ({})", expression.place, expression.text);
    Ok(check.faults.into_iter().map(at).collect())
}

struct Check<'a> {
    series: &'a Series,
    selected: BTreeSet<String>,
    grouped: BTreeSet<String>,
    faults: Vec<String>,
}

impl ExprVisitor for Check<'_> {
    type Error = anyhow::Error;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Aggregate(AggregateExpr {
                modifier: Some(modifier),
                ..
            }) => self.grouped.extend(modifier.labels().labels.clone()),
            _ => {}
        }
        Ok(true)
    }
}

impl Check<'_> {
    fn selector(&mut self, selector: &VectorSelector) {
        let name = selector.name.clone().unwrap_or_default();
        if self.series.of(&name).is_none() {
            self.faults.push(format!("no metric {name}"));
            return;
        }
        for matcher in &selector.matchers.matchers {
            if !OF_THE_SCRAPE.contains(&matcher.name.as_str()) {
                self.matcher(&name, matcher);
            }
        }
        self.selected.insert(name);
    }

    /// Each value that is named exists.
    fn matcher(&mut self, name: &str, matcher: &Matcher) {
        let series = self.series.of(name).unwrap_or_default();
        if !self.series.labels(name).contains(matcher.name.as_str()) {
            self.faults
                .push(format!("no label {} of {name}", matcher.name));
            return;
        }
        // Ours are lists of plain values, which are the same as texts.
        let values: Vec<&str> = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
            MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
        };
        for value in values {
            let known = series
                .iter()
                .any(|labels| labels.get(&matcher.name).is_some_and(|one| one == value));
            if !known {
                self.faults
                    .push(format!("no value {value} of {name}'s {}", matcher.name));
            }
        }
    }

    fn groups(&mut self) {
        let known: BTreeSet<_> = self
            .selected
            .iter()
            .flat_map(|name| self.series.labels(name))
            .chain(OF_THE_SCRAPE)
            .map(str::to_owned)
            .collect();
        for label in self.grouped.difference(&known) {
            self.faults.push(format!("nothing to group by {label}"));
        }
    }
}
