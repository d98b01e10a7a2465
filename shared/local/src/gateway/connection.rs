//! Connections whose requests have to say who they are within a time.
//!
//! A request's head has to be there so long after the connection was accepted, and after its first byte on one that was
//! used before. Otherwise the client is told 408 and the connection ends. An idle connection that was used stays open.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

/// What the client is told: in the shape of the gateway's own messages.
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\n\
    content-length: 29\r\n\r\n{\"message\":\"Request Timeout\"}";

/// A listener for such connections.
pub(super) struct Patient {
    listener: TcpListener,
    head_max: Duration,
}

impl Patient {
    pub(super) fn new(listener: TcpListener, head_max: Duration) -> Self {
        Self { listener, head_max }
    }
}

impl Listener for Patient {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, client) = Listener::accept(&mut self.listener).await;
        (Connection { stream, head: Head::default(), head_max: self.head_max, waiting: None, requests: 0 }, client)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Whoever sent a request, and its connection.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    head: Head,
}

impl Connected<IncomingStream<'_, Patient>> for Client {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Self {
        Self { address: *stream.remote_addr(), head: stream.io().head.clone() }
    }
}

impl Client {
    /// The head of a request is there.
    pub(super) fn asks(&self, version: Version) {
        self.head.there.store(true, Ordering::Release);
        self.head.requests.fetch_add(1, Ordering::Release);
        if version == Version::HTTP_2 {
            // one connection, and frames of many requests at once
            self.head.unbounded.store(true, Ordering::Release);
        }
    }

    /// The request is answered: what comes next is another one.
    pub(super) fn is_answered(&self) {
        self.head.there.store(false, Ordering::Release);
    }
}

#[derive(Debug, Clone, Default)]
struct Head(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    there: AtomicBool,
    /// How many have come.
    requests: AtomicU64,
    unbounded: AtomicBool,
}

impl std::ops::Deref for Head {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.0
    }
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    head: Head,
    head_max: Duration,
    /// Ends when the head that is waited for is late.
    waiting: Option<Pin<Box<Sleep>>>,
    /// The requests that have come on it, as far as that was noticed: one may be answered between two reads.
    requests: u64,
}

impl Connection {
    /// Whether the head that is waited for is late. `came`: something of it was read just now.
    fn poll_late(&mut self, came: bool, cx: &mut Context<'_>) -> Poll<()> {
        let requests = self.head.requests.load(Ordering::Acquire);
        if requests != self.requests {
            self.requests = requests;
            self.waiting = None;
        }
        if self.head.there.load(Ordering::Acquire) || self.head.unbounded.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        if self.waiting.is_none() && (came || requests == 0) {
            self.waiting = Some(Box::pin(tokio::time::sleep(self.head_max)));
        }
        match &mut self.waiting {
            Some(waiting) => waiting.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = buf.filled().len() > before;
        if self.poll_late(came, cx).is_pending() || came {
            return read;
        }
        // nothing else is on its way to the client, and this is less than a connection takes at once
        _ = ready!(Pin::new(&mut self.stream).poll_write(cx, TIMED_OUT));
        // the end of the connection, as the server sees it
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
