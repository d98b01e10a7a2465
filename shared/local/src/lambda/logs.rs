//! What a process writes, line by line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::LogSink;

/// Bytes of a line that are kept, as in CloudWatch:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>.
const LINE_MAX: usize = 256 * 1024;

/// Lines that are kept for an error message.
const TAIL: usize = 5;

/// The last lines of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(500).collect());
    }

    /// The last lines, to be put behind an error message.
    pub(super) async fn quote(&self) -> String {
        // a process can be seen to end before its last words are read
        tokio::time::sleep(Duration::from_millis(50)).await;
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            String::new()
        } else {
            format!(": {}", Vec::from_iter(lines.iter().cloned()).join(" / "))
        }
    }
}

/// Hands on every line until the end. A line that is too long is cut, the rest of it is dropped.
pub(super) async fn follow(mut from: impl AsyncRead + Unpin, log: LogSink, tail: Tail) {
    let mut line: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 8 * 1024];
    let emit = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        tail.push(&text);
        log(&text);
        line.clear();
    };
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        for part in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            line.extend(&text[..text.len().min(LINE_MAX.saturating_sub(line.len()))]);
            if ends {
                emit(&mut line);
            }
        }
    }
    if !line.is_empty() {
        emit(&mut line);
    }
}
