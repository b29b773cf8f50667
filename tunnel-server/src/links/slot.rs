//! What an open stream takes of its link, and how it is given back.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Uri};
use http_relay::RelayBody;
use http_relay::body::Meter;
use http_relay::stall_budget::{LinkStalls, StreamHandle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tunnel_protocol::limits::{LINK_HEADS, OPEN_STREAMS, READ_AHEAD, STREAM_WINDOW};

use super::wear::Wear;

/// What a link has to give.
pub(super) struct Places {
    streams: Arc<Semaphore>,
    heads: Arc<Semaphore>,
    pub(super) stalls: LinkStalls,
    pub(super) wear: Arc<Wear>,
}

/// A place among a link's streams; held as long as the stream is open.
pub(crate) struct Slot {
    upload: StreamHandle,
    stalls: LinkStalls,
    _stream: OwnedSemaphorePermit,
    /// The request's, then the answer's.
    head: Option<OwnedSemaphorePermit>,
    /// Of the answer's body, once there is one.
    received: Option<Arc<Meter>>,
    wear: Arc<Wear>,
}

impl Places {
    pub(super) fn new(stalls: LinkStalls, wear: Wear) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(OPEN_STREAMS)),
            heads: Arc::new(Semaphore::new(LINK_HEADS)),
            stalls,
            wear: Arc::new(wear),
        }
    }

    pub(super) fn open_streams(&self) -> usize {
        OPEN_STREAMS - self.streams.available_permits()
    }

    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.streams.clone().try_acquire_owned()
    }

    /// A place for a head's bytes.
    pub(super) fn head(
        &self,
        uri: Option<&Uri>,
        headers: &HeaderMap,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let lines = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len());
        let path = uri.and_then(Uri::path_and_query);
        let size = lines.sum::<usize>() + path.map_or(0, |path| path.as_str().len());
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.heads.clone().try_acquire_many_owned(size)
    }
}

impl Slot {
    pub(super) fn new(
        upload: StreamHandle,
        places: &Places,
        stream: OwnedSemaphorePermit,
        head: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            upload,
            stalls: places.stalls.clone(),
            _stream: stream,
            head: Some(head),
            received: None,
            wear: places.wear.clone(),
        }
    }

    /// The head of the answer is held instead of the request's.
    pub(super) fn answered(
        &mut self,
        places: &Places,
        headers: &HeaderMap,
    ) -> Result<(), TryAcquireError> {
        self.head = None;
        self.head = Some(places.head(None, headers)?);
        Ok(())
    }

    /// Resolves when the request's body was cut as it stood still: then the answer
    /// is not waited for, either.
    pub(crate) fn upload_cut(&self) -> impl Future<Output = &'static str> + Send + 'static {
        let upload = self.upload.clone();
        async move { upload.cut().await }
    }

    /// What tells whether the answer came to its end.
    pub(crate) fn receives(&mut self, received: Arc<Meter>) {
        self.received = Some(received);
    }

    /// The link's budget for streams that stand still.
    pub(crate) fn stalls(&self) -> LinkStalls {
        self.stalls.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // One that waits for the client to take more would wait on, and keep the
        // stream open there.
        self.upload.end();
        let ended = self.received.as_ref();
        if !ended.is_some_and(|received| received.finished()) {
            self.wear.reset();
        }
    }
}

/// The cluster's answer, towards a caller who may not read it, until `end`. `told` is
/// set to the reason before a cut drops it; `guard` outlives the cut.
pub(crate) fn hold_answer(
    stalls: &LinkStalls,
    body: RelayBody,
    end: impl Future<Output = &'static str> + Send + 'static,
    told: Arc<OnceLock<&'static str>>,
    guard: impl Send + 'static,
) -> (RelayBody, StreamHandle) {
    stalls.inbound(body, STREAM_WINDOW.into(), end, told, guard)
}

/// What a caller may make us hold of a request's body.
pub(super) fn held_of_request(body_over_http2: bool) -> u64 {
    if body_over_http2 {
        STREAM_WINDOW.into()
    } else {
        READ_AHEAD
    }
}
