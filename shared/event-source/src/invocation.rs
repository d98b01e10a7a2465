//! What became of an invocation of a function.

use bytes::Bytes;

/// What became of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// The function's response.
    Returned(Bytes),
    /// It failed, in the function or around it.
    Failed {
        /// As Lambda names it, or as the function does.
        error_type: String,
        /// What happened.
        message: String,
    },
    /// Every environment is busy and no more are allowed. It was not run.
    Throttled,
}

impl Invocation {
    /// One that failed around the function.
    pub fn failed(error_type: &str, message: impl Into<String>) -> Self {
        Self::Failed { error_type: error_type.to_owned(), message: message.into() }
    }
}
