//! Figures by case and measure, in rounds.

use serde::{Deserialize, Deserializer, Serialize};

use super::Renewed;
use crate::loads::Measure;
use crate::stats::Spread;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Table {
    pub load: String,
    pub title: String,
    /// Makes this table anew.
    pub command: String,
    /// Where it was taken apart from the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<Renewed>,
    pub measures: Vec<Measure>,
    pub rows: Vec<Row>,
}

/// A case. The first is what the others' ratios are to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub case: String,
    /// Why there are no figures, or not all rounds.
    pub failed: Option<String>,
    /// One for each measure.
    pub figures: Vec<Figure>,
}

/// A value a round; what does not apply is not a number, and null in JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figure {
    #[serde(deserialize_with = "or_not_a_number")]
    pub values: Vec<f64>,
}

impl Table {
    pub fn new(title: &str, measures: &[Measure], cases: impl Iterator<Item = String>) -> Self {
        let row = |case| Row {
            case,
            failed: None,
            figures: vec![Figure::default(); measures.len()],
        };
        Self {
            load: String::new(),
            title: title.to_owned(),
            command: String::new(),
            renewed: None,
            measures: measures.to_vec(),
            rows: cases.map(row).collect(),
        }
    }

    pub(crate) fn has_failed(&self, case: usize) -> bool {
        self.rows.get(case).is_some_and(|row| row.failed.is_some())
    }

    pub(crate) fn add(&mut self, case: usize, values: &[f64]) {
        if let Some(row) = self.rows.get_mut(case) {
            for (figure, value) in row.figures.iter_mut().zip(values) {
                figure.values.push(*value);
            }
        }
    }

    pub(crate) fn fail(&mut self, case: usize, reason: String) {
        if let Some(row) = self.rows.get_mut(case) {
            row.failed = Some(reason);
        }
    }

    /// Whether anybody has a figure of it.
    pub fn is_measured(&self, measure: usize) -> bool {
        let mut figures = self.rows.iter().filter_map(|row| row.figures.get(measure));
        figures.any(|figure| figure.spread().is_some())
    }

    /// The measures that have a chart.
    pub fn charts(&self) -> impl Iterator<Item = usize> {
        let numbers = 0..self.measures.len();
        numbers.filter(|number| {
            let measure = self.measures.get(*number);
            measure.is_some_and(|measure| measure.chart) && self.is_measured(*number)
        })
    }

    /// The file's name of a measure's chart.
    pub fn chart(&self, measure: usize) -> String {
        let name = self
            .measures
            .get(measure)
            .map_or("", |measure| measure.name);
        let letters = format!("{} {} {name}", self.load, self.title).to_lowercase();
        let words = letters.split(|letter: char| !letter.is_ascii_alphanumeric());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        format!("{}.svg", words.join("-"))
    }

    /// The ratio of a case's figure to the first one's, each made within its round.
    pub fn of_first(&self, case: usize, measure: usize) -> Option<Spread> {
        let values = |case: usize| Some(&self.rows.get(case)?.figures.get(measure)?.values);
        let pairs = values(case)?.iter().zip(values(0)?);
        let ratios: Vec<_> = pairs.map(|(own, first)| own / first).collect();
        (case > 0 && ratios.iter().any(|ratio| ratio.is_finite())).then(|| Spread::of(ratios))
    }
}

impl Figure {
    /// Of none, or where it does not apply, nothing.
    pub fn spread(&self) -> Option<Spread> {
        let there = self
            .values
            .iter()
            .copied()
            .filter(|value| value.is_finite());
        let spread = Spread::of(there);
        spread.median.is_finite().then_some(spread)
    }
}

fn or_not_a_number<'de, D: Deserializer<'de>>(values: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(values)?;
    let values = values.into_iter();
    Ok(values.map(|value| value.unwrap_or(f64::NAN)).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Direct, ours, and one that fails.
    pub(crate) fn example() -> Table {
        let measures = [
            Measure::more("requests/s", "requests/s").with_chart(),
            Measure::less("CPU", "s/1,000"),
        ];
        let names = ["direct", "culvert", "other"].map(str::to_owned);
        let mut table = Table::new("Requests, 32 connections", &measures, names.into_iter());
        table.load = "requests".into();
        table.command = "cargo xtask bench --only requests".into();
        table.add(0, &[100.0, f64::NAN]);
        table.add(0, &[200.0, f64::NAN]);
        table.add(1, &[50.0, 1.0]);
        table.add(1, &[50.0, 3.0]);
        table.fail(2, "it | ends".into());
        table
    }

    #[test]
    fn ratios_are_made_within_rounds() {
        let table = example();
        let ratio = table.of_first(1, 0).unwrap();
        assert_eq!((ratio.least, ratio.most), (0.25, 0.5));
        assert!(table.of_first(0, 0).is_none(), "it is the first itself");
        assert!(table.of_first(1, 1).is_none(), "the first has none");
        assert_eq!(table.rows[1].figures[1].spread().unwrap().median, 2.0);
        assert!(table.rows[0].figures[1].spread().is_none());
    }

    #[test]
    fn charts_have_names_of_files() {
        let name = "requests-requests-32-connections-requests-s.svg";
        assert_eq!(example().chart(0), name);
    }
}
