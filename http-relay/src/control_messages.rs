//! Control messages as they come over a link, whichever side reads them.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use serde::Deserialize;
use thiserror::Error;
use tunnel_protocol::control::{ControlError, Lines};

use crate::body::error_chain;
use crate::h2_error::is_peers_fault;

/// Reads the messages of a control stream's body.
#[derive(Debug)]
pub struct ControlMessages<B> {
    body: B,
    lines: Lines,
}

/// Why a control stream cannot be read on. The link is of no use any more.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// What it says.
    #[error(transparent)]
    Line(#[from] ControlError),
    /// The peer broke HTTP/2's rules on the stream.
    #[error("{0}")]
    Stream(String),
}

impl<B> ControlMessages<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    /// Has read nothing yet.
    pub fn new(body: B) -> Self {
        Self {
            body,
            lines: Lines::default(),
        }
    }

    /// The next one, or nothing at the stream's end, also where the peer has dropped it,
    /// as whoever drains may. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Unreadable`]; not to be called again after one.
    pub async fn next<M>(&mut self) -> Result<Option<M>, Unreadable>
    where
        M: for<'de> Deserialize<'de>,
    {
        loop {
            if let Some(message) = self.lines.next_message()? {
                return Ok(Some(message));
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) if is_peers_fault(&error) => {
                    return Err(Unreadable::Stream(error_chain(&error)));
                }
                Some(Err(_)) | None => return Ok(None),
            };
            if let Ok(data) = frame.into_data() {
                self.lines.push(data);
            }
        }
    }
}
