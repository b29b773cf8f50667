//! A run as a page of tables and charts.

use super::{Figure, Missing, Report, Row, Table};
use crate::loads::DIRECT;
use crate::report;
use crate::stats::{Spread, ratio};

/// The whole page.
pub(super) fn document(report: &Report) -> String {
    let mut page = String::from("# Culvert beside other tunnels\n\n");
    let settings = report.settings;
    page.push_str(&format!(
        "Made by `{}` at {}: {} rounds, {} s each after {} s of warm-up; medians, with the least \
         and the most in parentheses. How it is measured: `bench/PEERS.md`.\n\n",
        report.command, report.taken, settings.rounds, settings.seconds, settings.warm_up_seconds
    ));
    if settings.quick {
        page.push_str("**A quick run**: it shows that all works, and not what is faster.\n\n");
    }
    page.push_str("## The machine\n\n");
    let mut machine = report::Table::new(["", "what"]);
    for (name, text) in report.machine.lines() {
        machine.row([name.to_owned(), cell(&text)]);
    }
    if let Some(stolen) = report.stolen_percent {
        machine.row(["stolen by other machines", &format!("{stolen:.1} %")]);
    }
    page.push_str(&machine.to_string());
    page.push_str("\n## Who\n\n");
    page.push_str(&peers(report).to_string());
    if !report.absent.is_empty() {
        page.push_str("\nNot measured:\n\n");
        for absent in &report.absent {
            let (about, reason) = (absent.about, one_line(&absent.reason));
            page.push_str(&format!(
                "- **{}** {}: {reason}\n",
                about.name, about.version
            ));
        }
    }
    let mut load = "";
    for table in &report.tables {
        if table.load != load {
            load = &table.load;
            page.push_str(&format!("\n## {load}\n\n`{}`\n", table.command));
            if let Some(renewed) = &table.renewed {
                page.push_str(&format!(
                    "\nTaken anew at {} of {}: {} rounds",
                    renewed.taken, renewed.commit, renewed.rounds
                ));
                if !renewed.without.is_empty() {
                    let names: Vec<_> = renewed.without.iter().map(missing).collect();
                    page.push_str(&format!(", without {}", names.join(", ")));
                }
                page.push_str(".\n");
            }
        }
        page.push_str(&section(table));
    }
    page
}

fn peers(report: &Report) -> report::Table {
    let columns = ["", "version", "link", "callers", "carries", "note"];
    let mut table = report::Table::new(columns);
    for about in &report.peers {
        table.row([
            about.name,
            about.version,
            about.link.text(),
            about.callers.text(),
            about.carries.text(),
            about.note,
        ]);
    }
    table
}

fn section(table: &Table) -> String {
    let mut text = format!("\n### {}\n\n", table.title);
    for number in table.charts() {
        let (title, file) = (&table.title, table.chart(number));
        let name = table
            .measures
            .get(number)
            .map_or("", |measure| measure.name);
        text.push_str(&format!("![{title}, {name}]({file})\n\n"));
    }
    let measured: Vec<_> = (0..table.measures.len())
        .filter(|number| table.is_measured(*number))
        .collect();
    let mut columns = vec![String::new()];
    for number in &measured {
        let measure = &table.measures[*number];
        columns.push(if measure.name == measure.unit {
            measure.name.to_owned()
        } else {
            format!("{}, {}", measure.name, measure.unit)
        });
        if has_ratios(table, *number) {
            columns.push("of direct".into());
        }
    }
    let mut shown = report::Table::new(columns);
    let mut failed = String::new();
    for (case, row) in table.rows.iter().enumerate() {
        let mut cells = vec![row.case.clone()];
        for number in &measured {
            let figure = row.figures.get(*number).and_then(Figure::spread);
            cells.push(figure.map_or_else(String::new, spread));
            if has_ratios(table, *number) {
                let of = table.of_first(case, *number);
                cells.push(of.map_or_else(String::new, |of| ratio(of.median)));
            }
        }
        shown.row(cells);
        if let Some(reason) = &row.failed {
            failed.push_str(&format!(
                "- **{}** failed: {}\n",
                row.case,
                one_line(reason)
            ));
        }
    }
    text.push_str(&shown.to_string());
    if !failed.is_empty() {
        text.push_str(&format!("\n{failed}"));
    }
    text
}

/// Ratios to the direct connection stand behind what has a chart.
fn has_ratios(table: &Table, measure: usize) -> bool {
    let is_first = |row: &Row| row.case == DIRECT;
    if !table.rows.first().is_some_and(is_first) {
        return false;
    }
    let has_chart = table
        .measures
        .get(measure)
        .is_some_and(|measure| measure.chart);
    has_chart && (1..table.rows.len()).any(|case| table.of_first(case, measure).is_some())
}

fn missing(missing: &Missing) -> String {
    match &missing.reason {
        Some(reason) => format!("{} ({})", missing.name, one_line(reason)),
        None => missing.name.clone(),
    }
}

fn spread(spread: Spread) -> String {
    spread.show(number)
}

/// Three digits that say something.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 10_000.0 => format!("{:.1}k", value / 1000.0),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" / ")
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::example;
    use super::*;

    #[test]
    fn a_section() {
        let expected = "
### Requests, 32 connections

![Requests, 32 connections, requests/s](requests-requests-32-connections-requests-s.svg)

|  | requests/s | of direct | CPU, s/1,000 |
| --- | ---: | ---: | ---: |
| direct | 150 (100–200) |  |  |
| culvert | 50.0 (50.0–50.0) | 0.38 | 2.00 (1.00–3.00) |
| other |  |  |  |

- **other** failed: it | ends
";
        assert_eq!(section(&example()), expected);
    }

    #[test]
    fn digits() {
        let shown = [12_345.0, 123.4, 12.34, 1.234, 0.01234].map(number);
        assert_eq!(shown, ["12.3k", "123", "12.3", "1.23", "0.012"]);
    }
}
