//! A measure as bars, from zero: medians, with the least and the most as a line.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::backend::SVGBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, RGBColor, TextStyle, WHITE};

use super::markdown::number;
use super::{Report, Table};
use crate::loads::Better;
use crate::stats::Spread;

/// Pixels.
const WIDTH: i32 = 860;
const TOP: i32 = 64;
const ROW: i32 = 26;
const BAR: i32 = 16;
const BOTTOM: i32 = 34;
/// Where bars begin, and the room that texts behind them have.
const LEFT: i32 = 260;
const RIGHT: i32 = 150;

const OURS: RGBColor = RGBColor(31, 97, 171);
const ENCRYPTED: RGBColor = RGBColor(120, 126, 134);
const PLAIN: RGBColor = RGBColor(198, 203, 209);
const DIRECT: RGBColor = RGBColor(226, 205, 150);

/// A bar.
struct Bar {
    name: String,
    spread: Spread,
    colour: RGBColor,
    is_direct: bool,
}

pub(super) fn draw(report: &Report, table: &Table, measure: usize, path: &Path) -> Result<()> {
    let chart = svg(report, table, measure)?;
    std::fs::write(path, chart).with_context(|| format!("cannot write {}", path.display()))
}

fn svg(report: &Report, table: &Table, measure: usize) -> Result<String> {
    let bars = bars(report, table, measure);
    let of = table.measures.get(measure).context("no such measure")?;
    let height = TOP + ROW * bars.len() as i32 + BOTTOM;
    let better = match of.better {
        Better::More => "more is better",
        Better::Less => "less is better",
    };
    // The direct connection is the limit and not a rival: where it goes beyond all others
    // by far, its bar is cut, so that they can be told apart.
    let others = bars.iter().filter(|bar| !bar.is_direct);
    let most = others.map(|bar| bar.spread.most).fold(0.0, f64::max);
    let most = if most > 0.0 { most } else { 1.0 };
    let scale = f64::from(WIDTH - LEFT - RIGHT) / most;
    let x = |value: f64| LEFT + (value.clamp(0.0, most) * scale).round() as i32;

    let mut text = String::new();
    {
        let size = (WIDTH as u32, height as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        let font = |size: i32| TextStyle::from(("sans-serif", size)).color(&BLACK);
        let behind = font(13).pos(Pos::new(HPos::Left, VPos::Center));
        let before = font(13).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(table.title.clone(), (12, 10), font(17)))?;
        let (name, unit) = (of.name, of.unit);
        let what = if name == unit {
            format!("{name}, {better}")
        } else {
            format!("{name}, {unit}; {better}")
        };
        area.draw(&Text::new(what, (12, 36), font(13)))?;
        for (row, bar) in bars.iter().enumerate() {
            let middle = TOP + ROW * row as i32 + ROW / 2;
            let Spread {
                median,
                least,
                most: highest,
            } = bar.spread;
            area.draw(&Text::new(
                bar.name.clone(),
                (LEFT - 8, middle),
                before.clone(),
            ))?;
            let corners = [(LEFT, middle - BAR / 2), (x(median), middle + BAR / 2)];
            area.draw(&Rectangle::new(corners, bar.colour.filled()))?;
            let line = vec![(x(least), middle), (x(highest), middle)];
            area.draw(&PathElement::new(line, BLACK.stroke_width(1)))?;
            let cut = if median > most { " (cut)" } else { "" };
            let value = format!("{}{cut}", number(median));
            area.draw(&Text::new(value, (x(highest) + 6, middle), behind.clone()))?;
        }
        let renewed = table.renewed.as_ref();
        let taken = renewed.map_or(&report.taken, |renewed| &renewed.taken);
        let made = format!(
            "{} at {}; blue: Culvert, grey: encrypted, light grey: not encrypted",
            table.command, taken
        );
        area.draw(&Text::new(made, (12, height - 22), font(11)))?;
        area.present()?;
    }
    Ok(text)
}

/// In the table's order; those without figures are left out.
fn bars(report: &Report, table: &Table, measure: usize) -> Vec<Bar> {
    let mut bars = Vec::new();
    for row in &table.rows {
        let Some(spread) = row.figures.get(measure).and_then(super::Figure::spread) else {
            continue;
        };
        // A chain's name begins with its tunnel's.
        let tunnel = row.case.split(" + ").next().unwrap_or_default();
        let about = report.peers.iter().find(|about| about.name == tunnel);
        let colour = match about {
            None => DIRECT,
            Some(about) if about.is_ours() => OURS,
            Some(about) if about.link.is_encrypted() => ENCRYPTED,
            Some(_) => PLAIN,
        };
        bars.push(Bar {
            name: row.case.clone(),
            spread,
            colour,
            is_direct: about.is_none(),
        });
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::example;
    use super::super::tests::empty;
    use super::*;

    #[test]
    fn it_has_a_bar_for_each_that_was_measured() {
        let report = empty(2);
        let chart = svg(&report, &example(), 0).unwrap();
        assert!(chart.starts_with("<svg"), "{chart}");
        assert!(chart.contains("culvert"), "{chart}");
        assert!(chart.contains("(cut)"), "direct is beyond it: {chart}");
        assert!(!chart.contains("other"), "it has no figures: {chart}");
        assert!(
            chart.contains("cargo xtask bench --only requests"),
            "{chart}"
        );
    }
}
