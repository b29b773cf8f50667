//! Links that only end what they carry. A server that asks for one link after another
//! gets no pile of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

use crate::fleet::Member;

/// Beside as many as may serve: a server that drains asks all of them at once. A rolling
/// restart leaves one more of each lane's, as each lasts for some minutes at most.
const MORE: usize = 4;

/// The oldest first; some have ended.
#[derive(Default)]
pub(crate) struct OldLinks(Mutex<VecDeque<OldLink>>);

struct OldLink {
    cut_now: CancellationToken,
    member: Weak<Member>,
}

impl OldLinks {
    /// One more, which `cut_now` cuts. Where there are too many beside `max_links`, the
    /// oldest is cut.
    pub(crate) fn add(&self, member: &Arc<Member>, cut_now: CancellationToken, max_links: u8) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.member.strong_count() > 0);
        links.push_back(OldLink {
            cut_now,
            member: Arc::downgrade(member),
        });
        if links.len() > usize::from(max_links) + MORE
            && let Some(oldest) = links.pop_front()
        {
            oldest.cut_now.cancel();
        }
    }
}
