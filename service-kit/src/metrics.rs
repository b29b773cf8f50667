//! What the three binaries' metrics have in common. Label values come from
//! closed enums, written in lower case as Prometheus' own are.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

pub use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// Counters by one label.
pub type By<V> = Family<[(&'static str, V); 1], Counter>;

/// Shows each value as 0 from the start: a counter that first appears as 1 has no
/// increase that an alert would see.
pub fn show_all<V>(counters: &By<V>, label: &'static str, values: impl IntoIterator<Item = V>)
where
    V: Clone + std::hash::Hash + Eq,
{
    for value in values {
        drop(counters.get_or_create(&[(label, value)]));
    }
}

/// An enum whose variants are a label's values.
#[macro_export]
macro_rules! label_values {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $($(#[$doc])* $variant),+
        }

        impl $name {
            /// All of them.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl $crate::metrics::EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut $crate::metrics::LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                let text = match self { $(Self::$variant => $text),+ };
                $crate::metrics::EncodeLabelValue::encode(&text, encoder)
            }
        }
    };
}

/// Counts one in a gauge until it is dropped.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Counts one more.
    #[must_use]
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
