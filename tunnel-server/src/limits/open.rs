//! Counts what each of many parties has open.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by key; a key with nothing open takes no memory.
#[derive(Debug)]
pub(crate) struct OpenCounts<K: Eq + Hash>(Arc<Mutex<HashMap<K, u32>>>);

/// One of them; counts until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenOne<K: Eq + Hash> {
    counts: Arc<Mutex<HashMap<K, u32>>>,
    key: K,
}

impl<K: Eq + Hash> Default for OpenCounts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> OpenCounts<K> {
    /// One more, or nothing where `limit` are open already; 0 is no limit.
    pub(crate) fn open(&self, key: &K, limit: u32) -> Option<OpenOne<K>> {
        let key = key.clone();
        let mut counts = lock(&self.0);
        // Looked up first, so that what is refused leaves no entry behind.
        let open = counts.get(&key).copied().unwrap_or_default();
        if limit != 0 && open >= limit {
            return None;
        }
        counts.insert(key.clone(), open + 1);
        Some(OpenOne {
            counts: self.0.clone(),
            key,
        })
    }
}

fn lock<K>(counts: &Mutex<HashMap<K, u32>>) -> MutexGuard<'_, HashMap<K, u32>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash> Drop for OpenOne<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_count_and_leaves_nothing_behind() {
        let counts = OpenCounts::<u8>::default();
        let (one, _two) = (counts.open(&1, 2).unwrap(), counts.open(&1, 2).unwrap());
        assert!(counts.open(&1, 2).is_none());
        assert!(counts.open(&1, 0).is_some(), "0 is no limit");
        let other = counts.open(&2, 1).unwrap();
        drop(one);
        drop(counts.open(&1, 2).unwrap());
        drop(other);
        assert_eq!(lock(&counts.0).len(), 1);
    }
}
