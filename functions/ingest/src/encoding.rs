//! Content-Encoding: what a body was compressed with, and the bounded way back.
//!
//! Guarantees: decompression stops as soon as it has given more than the bound, holds no more than the bound of output
//! at any time, and a zstd window of at most 8 MiB; a truncated body, a wrong checksum and bytes after the end are
//! errors, never a shorter body.
//! Takes one encoding a request: a body that is compressed twice is not worth the doubled risk.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::code::RefusalCode;

/// The encodings understood, for the `Accept-Encoding` of a refusal (RFC 9110, section 12.5.3).
pub const ACCEPTED: &str = "gzip, zstd";

/// Decoders need not take a larger window over HTTP: <https://www.rfc-editor.org/rfc/rfc9659.html#section-3>.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Members of one gzip body. Parallel compressors write one for every 64 KiB or more. Without a bound a body of a few
/// megabytes could hold 300,000 empty ones, and each costs the decoder the clearing of its 32 KiB window.
const GZIP_MEMBERS_MAX: usize = 1024;

/// What is decompressed at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An encoding that is not understood.
    #[error("Content-Encoding is `{0}`; this endpoint understands gzip, zstd and identity, one of them at a time")]
    Unsupported(String),
    /// The body is not in the encoding that the header names.
    #[error("the body is not valid {encoding}: {problem}")]
    Malformed {
        /// The encoding named.
        encoding: &'static str,
        /// What the decoder met.
        problem: io::Error,
    },
    /// More output than allowed.
    #[error("the body has more than {max} bytes after decompression; at most {max} are allowed")]
    TooLarge {
        /// The bound.
        max: usize,
    },
}

impl Error {
    /// The code that the sender gets.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Unsupported(_) => RefusalCode::UnsupportedEncoding,
            Self::Malformed { .. } => RefusalCode::MalformedEncoding,
            Self::TooLarge { .. } => RefusalCode::BodyTooLarge,
        }
    }
}

impl Encoding {
    /// Reads `Content-Encoding`, which may come in several headers and as a list.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it names something else, or more than one encoding.
    pub fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let named: Vec<String> = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
            .collect();
        let all = named.join(", ");
        let mut encodings = all.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "identity");
        match (encodings.next(), encodings.next()) {
            (None, _) => Ok(Self::Identity),
            // RFC 9110, section 8.4.1.3: x-gzip is another name of gzip
            (Some("gzip" | "x-gzip"), None) => Ok(Self::Gzip),
            (Some("zstd"), None) => Ok(Self::Zstd),
            _ => Err(Error::Unsupported(all.chars().take(100).collect())),
        }
    }

    /// The bytes that `body` stands for, at most `max` of them.
    ///
    /// # Errors
    /// When `body` is not in this encoding, or stands for more than `max` bytes.
    pub fn decode(self, body: Vec<u8>, max: usize) -> Result<Vec<u8>, Error> {
        match self {
            Self::Identity if body.len() > max => Err(Error::TooLarge { max }),
            Self::Identity => Ok(body),
            Self::Gzip => gunzip(&body, max).map_err(|stop| stop.into_error("gzip", max)),
            Self::Zstd => unzstd(&body, max).map_err(|stop| stop.into_error("zstd", max)),
        }
    }
}

/// Why decompression stopped early.
enum Stop {
    Full,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Stop {
    fn into_error(self, encoding: &'static str, max: usize) -> Error {
        match self {
            Self::Full => Error::TooLarge { max },
            Self::Io(problem) => Error::Malformed { encoding, problem },
        }
    }
}

fn gunzip(mut body: &[u8], max: usize) -> Result<Vec<u8>, Stop> {
    let mut output = Output::new(max);
    for _ in 0..GZIP_MEMBERS_MAX {
        // what follows a member is read as the next one, so garbage there is a bad header
        output.fill_from(&mut GzDecoder::new(&mut body))?;
        if body.is_empty() {
            return Ok(output.bytes);
        }
    }
    Err(io::Error::other(format!("it has more than {GZIP_MEMBERS_MAX} members")).into())
}

fn unzstd(body: &[u8], max: usize) -> Result<Vec<u8>, Stop> {
    let mut output = Output::new(max);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    output.fill_from(&mut decoder)?;
    Ok(output.bytes)
}

/// Output that never grows past its bound, spare capacity included.
struct Output {
    bytes: Vec<u8>,
    max: usize,
}

impl Output {
    fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max }
    }

    fn fill_from(&mut self, reader: &mut impl Read) -> Result<(), Stop> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = reader.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            let len = self.bytes.len();
            if read > self.max - len {
                return Err(Stop::Full);
            }
            if len + read > self.bytes.capacity() {
                // doubling is left to the vector nowhere: it would reserve up to twice the bound
                let capacity = (2 * self.bytes.capacity()).max(len + read).min(self.max);
                self.bytes.reserve_exact(capacity - len);
            }
            self.bytes.extend_from_slice(&chunk[..read]);
        }
    }
}

#[cfg(test)]
mod tests;
