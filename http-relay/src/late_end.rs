//! A caller may end its direction right behind its request, as `printf … | nc` does.
//! hyper's HTTP/1.1 server looks for the end before it polls the answer, and drops a
//! request whose caller has ended, even where the answer is at hand
//! (`mid_message_detect_eof` in hyper 1.12). Its `half_close` would keep the request,
//! but then no caller that goes away is noticed. So the end is told one turn later:
//! what can be answered at once is, and what has to wait ends with its caller.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

pin_project_lite::pin_project! {
    /// Wraps a connection.
    #[derive(Debug)]
    pub struct LateEnd<T> {
        #[pin]
        inner: T,
        ended: bool,
    }
}

impl<T> LateEnd<T> {
    /// Tells the connection's end a turn later.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            ended: false,
        }
    }

    /// The connection itself.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> AsyncRead for LateEnd<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        ready!(this.inner.poll_read(cx, buf))?;
        let is_end = buf.filled().len() == before && buf.remaining() > 0;
        if is_end && !std::mem::replace(this.ended, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

crate::pass_writes!(LateEnd);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::body::empty;

    /// What a caller hears that ends right behind its request. All of it is there
    /// before the server looks.
    async fn heard(answers_at_once: bool) -> String {
        let (mut caller, side) = duplex(4096);
        caller
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        caller.shutdown().await.unwrap();
        let service = service_fn(|_| async move {
            if !answers_at_once {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(empty()))
        });
        let serving = async move {
            let io = TokioIo::new(LateEnd::new(side));
            // An error where the caller has ended before.
            drop(http1::Builder::new().serve_connection(io, service).await);
        };
        let mut heard = String::new();
        let (_, read) = tokio::join!(serving, caller.read_to_string(&mut heard));
        read.unwrap();
        heard
    }

    #[tokio::test]
    async fn what_is_at_hand_is_answered() {
        let heard = heard(true).await;
        assert!(heard.starts_with("HTTP/1.1 200 OK\r\n"), "{heard:?}");
    }

    #[tokio::test]
    async fn what_has_to_wait_ends_with_its_caller() {
        assert_eq!(heard(false).await, "");
    }
}
