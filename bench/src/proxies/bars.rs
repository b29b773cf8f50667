//! What proxy-sidecar has to reach, beside what it reaches.

use crate::report::Table;
use crate::stats::{Spread, ratio};

/// The verdicts of a run.
#[derive(Debug, Default)]
pub struct Bars(Vec<Verdict>);

#[derive(Debug)]
struct Verdict {
    name: String,
    kubectl: String,
    ours: String,
    ratio: Spread,
    bar: String,
    aim: String,
    reached: &'static str,
}

/// A measure of kubectl's and of ours, by rounds.
pub type Pairs = Vec<(f64, f64)>;

impl Bars {
    /// At least `bar` times kubectl's.
    pub fn at_least(
        &mut self,
        name: String,
        pairs: Pairs,
        show: impl Fn(f64) -> String,
        bar: f64,
        aim: f64,
    ) {
        let own = of_kubectls(&pairs);
        let texts = (format!("≥ {bar} ×"), format!("{aim} ×"));
        self.add(name, &pairs, show, texts, reached(own >= bar, own >= aim));
    }

    /// At most `bar` of kubectl's.
    pub fn at_most(
        &mut self,
        name: String,
        pairs: Pairs,
        show: impl Fn(f64) -> String,
        bar: f64,
        aim: f64,
    ) {
        let own = of_kubectls(&pairs);
        let texts = (format!("≤ {bar:.2} ×"), format!("{aim:.2} ×"));
        self.add(name, &pairs, show, texts, reached(own <= bar, own <= aim));
    }

    /// At most `bar`, whatever kubectl's is.
    pub fn below(
        &mut self,
        name: String,
        pairs: Pairs,
        show: impl Fn(f64) -> String,
        bar: f64,
        aim: f64,
    ) {
        let own = Spread::of(pairs.iter().map(|pair| pair.1)).median;
        let texts = (format!("≤ {}", show(bar)), show(aim));
        self.add(name, &pairs, show, texts, reached(own <= bar, own <= aim));
    }

    fn add(
        &mut self,
        name: String,
        pairs: &Pairs,
        show: impl Fn(f64) -> String,
        (bar, aim): (String, String),
        reached: &'static str,
    ) {
        self.0.push(Verdict {
            name,
            kubectl: Spread::of(pairs.iter().map(|pair| pair.0)).show(&show),
            ours: Spread::of(pairs.iter().map(|pair| pair.1)).show(&show),
            ratio: Spread::of(pairs.iter().map(|(kubectl, ours)| ours / kubectl)),
            bar,
            aim,
            reached,
        });
    }

    pub fn table(&self) -> Table {
        let columns = [
            "measure",
            "kubectl proxy",
            "proxy-sidecar",
            "ratio",
            "bar",
            "aim",
            "reached",
        ];
        let mut table = Table::new(columns);
        for verdict in &self.0 {
            table.row([
                verdict.name.as_str(),
                &verdict.kubectl,
                &verdict.ours,
                &verdict.ratio.show(ratio),
                &verdict.bar,
                &verdict.aim,
                verdict.reached,
            ]);
        }
        table
    }
}

fn of_kubectls(pairs: &Pairs) -> f64 {
    Spread::of(pairs.iter().map(|(kubectl, ours)| ours / kubectl)).median
}

fn reached(bar: bool, aim: bool) -> &'static str {
    match (bar, aim) {
        (_, true) => "aim",
        (true, false) => "bar",
        (false, false) => "no",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let mut bars = Bars::default();
        let show = |value: f64| value.to_string();
        let pairs = || vec![(1.0, 4.0), (2.0, 9.0), (1.0, 4.2)];
        bars.at_least("a".into(), pairs(), show, 4.0, 5.0);
        bars.at_least("b".into(), pairs(), show, 3.0, 4.0);
        bars.at_most("c".into(), pairs(), show, 4.0, 3.0);
        bars.below("d".into(), pairs(), show, 5.0, 1.0);
        let verdicts: Vec<_> = bars.0.iter().map(|verdict| verdict.reached).collect();
        assert_eq!(verdicts, ["bar", "aim", "no", "bar"]);
        let row = bars.table().to_string();
        let row = row.lines().nth(2).unwrap();
        assert_eq!(
            row,
            "| a | 1 (1–2) | 4.2 (4–9) | 4.20 (4.00–4.50) | ≥ 4 × | 5 × | bar |"
        );
    }
}
