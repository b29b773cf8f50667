//! Medians and spreads.

/// The middle of several measurements and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Of no values: not a number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (values.first().copied(), values.last().copied()) else {
            return Self {
                median: f64::NAN,
                least: f64::NAN,
                most: f64::NAN,
            };
        };
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self {
            median: f64::midpoint(low, high),
            least,
            most,
        }
    }

    /// `median (least–most)`, each written by `text`.
    pub fn show(&self, text: impl Fn(f64) -> String) -> String {
        format!(
            "{} ({}–{})",
            text(self.median),
            text(self.least),
            text(self.most)
        )
    }
}

/// A count with three digits that say something, and `k` for thousands.
pub fn count(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.1}k", value / 1000.0)
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// A ratio.
pub fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_even_and_odd() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert!(Spread::of([]).median.is_nan());
        assert_eq!(
            Spread::of([12_340.0, 99.0, 500.0]).show(count),
            "500 (99.0–12.3k)"
        );
    }
}
