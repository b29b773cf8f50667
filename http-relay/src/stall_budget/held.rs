//! What a stream holds: its body, what ends it, and what was taken from it before
//! its consumer asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::gauge::{Gauge, is_small};
use crate::{RelayBody, RelayError};

pub(super) type Item = Option<Result<Frame<Bytes>, RelayError>>;

/// Resolves with the reason when a body is to end before its end.
type End = Pin<Box<dyn Future<Output = &'static str> + Send>>;

/// Small frames are put together to pieces of this size, bytes.
const PIECE: usize = 16 * 1024;

pub(super) struct Held {
    body: RelayBody,
    end: End,
    /// Frames, or the body's end.
    spool: VecDeque<Item>,
    /// Data in the spool.
    pub(super) spooled: usize,
}

impl Held {
    pub(super) fn new(body: RelayBody, end: End) -> Self {
        Self {
            body,
            end,
            spool: VecDeque::new(),
            spooled: 0,
        }
    }

    /// Not to be called again when it has resolved.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        self.end.as_mut().poll(cx)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, gauge: Option<&Gauge>) -> Poll<Item> {
        let Some(item) = self.spool.pop_front() else {
            return self.poll_body(cx, gauge);
        };
        self.spooled -= data_length(&item);
        Poll::Ready(item)
    }

    /// Keeps what goes beyond a length for later.
    pub(super) fn keep_behind(&mut self, item: Item, length: usize) -> Item {
        let Some(Ok(frame)) = item else {
            return item;
        };
        Some(Ok(frame.map_data(|mut data| {
            if data.len() > length {
                let rest = data.split_off(length);
                self.spooled += rest.len();
                self.spool.push_front(Some(Ok(Frame::data(rest))));
            }
            data
        })))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, gauge: Option<&Gauge>) -> Poll<Item> {
        let item = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(gauge) = gauge {
            gauge.taken(data_length(&item));
        }
        Poll::Ready(item)
    }

    /// Takes some of what the body has, so that small frames take as little room as
    /// they have bytes. Only while nobody waits for the body. Gives how many there were.
    pub(super) fn compact(&mut self, gauge: &Gauge, bytes: usize) -> u64 {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut taken, mut small) = (0, 0);
        let mut piece = BytesMut::new();
        while taken < bytes && !self.is_over() {
            let Poll::Ready(item) = self.poll_body(&mut cx, Some(gauge)) else {
                break;
            };
            taken += data_length(&item);
            small += u64::from(is_small(data_length(&item)));
            match item {
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| data.len() < PIECE) => {
                    piece.extend_from_slice(&frame.into_data().unwrap_or_default());
                    if piece.len() >= PIECE {
                        self.spool_piece(&mut piece);
                    }
                }
                other => {
                    self.spool_piece(&mut piece);
                    self.spool.push_back(other);
                }
            }
        }
        self.spool_piece(&mut piece);
        self.spooled += taken;
        small
    }

    fn spool_piece(&mut self, piece: &mut BytesMut) {
        if !piece.is_empty() {
            let data = Frame::data(piece.split().freeze());
            self.spool.push_back(Some(Ok(data)));
        }
    }

    /// Whether the body has nothing more to give.
    fn is_over(&self) -> bool {
        self.body.is_end_stream() || matches!(self.spool.back(), Some(None | Some(Err(_))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.spool.is_empty() && self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let (hint, spooled) = (self.body.size_hint(), self.spooled as u64);
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + spooled);
        }
        whole.set_lower(hint.lower() + spooled);
        whole
    }
}

fn data_length(item: &Item) -> usize {
    match item {
        Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
        _ => 0,
    }
}
