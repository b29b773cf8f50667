//! What the way to a server passes, as far as it is known.

use std::sync::{Mutex, PoisonError};

use tunnel_protocol::carrier::Carrier;

/// The carrier that worked last, for all lanes to a server.
#[derive(Debug, Default)]
pub(crate) struct Carriers(Mutex<Option<Carrier>>);

impl Carriers {
    /// All, in the order in which to try them.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Carrier> + use<> {
        let known = self.known();
        let others = Carrier::ALL.into_iter();
        known
            .into_iter()
            .chain(others.filter(move |carrier| Some(*carrier) != known))
    }

    /// Whether one has worked.
    pub(crate) fn are_known(&self) -> bool {
        self.known().is_some()
    }

    /// It comes first from now on. Tells whether that is news.
    pub(crate) fn worked(&self, carrier: Carrier) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.replace(carrier) != Some(carrier)
    }

    fn known(&self) -> Option<Carrier> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_comes_first() {
        let carriers = Carriers::default();
        let order = || carriers.in_order().collect::<Vec<_>>();
        assert_eq!(order(), [Carrier::Upgrade, Carrier::WebSocket]);
        assert!(!carriers.are_known());
        assert!(carriers.worked(Carrier::WebSocket));
        assert_eq!(order(), [Carrier::WebSocket, Carrier::Upgrade]);
        assert!(!carriers.worked(Carrier::WebSocket));
        assert!(carriers.worked(Carrier::Upgrade));
        assert_eq!(order(), [Carrier::Upgrade, Carrier::WebSocket]);
    }
}
