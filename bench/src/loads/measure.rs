//! What is measured: names, units, and which way is better.

use serde::{Deserialize, Serialize};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    /// Whether it has a chart.
    pub chart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    More,
    Less,
}

impl Measure {
    const fn new(name: &'static str, unit: &'static str, better: Better) -> Self {
        Self {
            name,
            unit,
            better,
            chart: false,
        }
    }

    pub const fn more(name: &'static str, unit: &'static str) -> Self {
        Self::new(name, unit, Better::More)
    }

    pub const fn less(name: &'static str, unit: &'static str) -> Self {
        Self::new(name, unit, Better::Less)
    }

    pub const fn with_chart(self) -> Self {
        Self {
            chart: true,
            ..self
        }
    }
}

/// CPU time of 1,000 requests: of the tunnel's processes together and each, and of what
/// calls and is called.
pub(super) const CPU_OF_REQUESTS: [Measure; 5] = cpu("s/1,000");
/// The same, of 1 GB.
pub(super) const CPU_OF_BULK: [Measure; 5] = cpu("s/GB");
/// Resident at that moment.
pub(super) const MEMORY: [Measure; 2] = [
    Measure::less("server memory", "MB"),
    Measure::less("client memory", "MB"),
];

const fn cpu(unit: &'static str) -> [Measure; 5] {
    [
        Measure::less("CPU, the tunnel", unit).with_chart(),
        Measure::less("CPU, server", unit),
        Measure::less("CPU, client", unit),
        Measure::less("CPU, proxy", unit),
        Measure::less("CPU, callers and origin", unit),
    ]
}
