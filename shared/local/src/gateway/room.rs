//! The memory that requests take: so many bytes of bodies at once, and the rest wait.
//!
//! A request takes the room for its body before it is read, and keeps it until the function has its event. A body of
//! unknown length takes what the longest would. Beside its body a request holds, for a moment, its event: some 2.7 times
//! the body where that is base64.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room is handed out in such pieces.
const PIECE: usize = 1024;

#[derive(Debug, Clone)]
pub(super) struct Room {
    pieces: Arc<Semaphore>,
    all: u32,
}

/// The room of one request.
#[derive(Debug)]
pub(super) struct Held(OwnedSemaphorePermit);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        let all = pieces(bytes);
        Self { pieces: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Waits for room for `bytes`, at most so long.
    pub(super) async fn take(&self, bytes: usize, wait_max: Duration) -> Option<Held> {
        // one that is larger than all there is goes alone
        let wanted = pieces(bytes).min(self.all);
        let taken = Arc::clone(&self.pieces).acquire_many_owned(wanted);
        Some(Held(tokio::time::timeout(wait_max, taken).await.ok()?.ok()?))
    }
}

impl Held {
    /// Gives back what is more than `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let more = self.0.num_permits().saturating_sub(pieces(bytes) as usize);
        drop(self.0.split(more));
    }

    /// `event` with this room, which is given back when the event is.
    pub(super) fn keep(self, event: Vec<u8>) -> Bytes {
        Bytes::from_owner(Kept { event, _held: self })
    }
}

struct Kept {
    event: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.event
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn what_is_given_back_is_there_for_others() {
        let room = Room::new(10 * PIECE);
        let mut first = room.take(10 * PIECE, NOW).await.unwrap();
        assert!(room.take(1, NOW).await.is_none());
        first.shrink(4 * PIECE);
        let second = room.take(6 * PIECE, NOW).await.unwrap();
        let event = first.keep(b"event".to_vec());
        assert!(room.take(1, NOW).await.is_none(), "the event holds it");
        let clone = event.clone();
        drop(event);
        assert!(room.take(1, NOW).await.is_none(), "all of the event is needed");
        assert_eq!(clone, "event");
        drop((clone, second));
        assert!(room.take(1000 * PIECE, NOW).await.is_some(), "one that is too large goes alone");
    }
}
