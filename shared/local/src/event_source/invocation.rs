//! What becomes of one invocation of the function.

use bytes::Bytes;

/// The outcome of one synchronous invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// The function returned this payload.
    Returned(Bytes),
    /// The function ran and failed: an error payload, a crash or a time-out.
    Failed {
        /// Such as `Runtime.ExitError`.
        error_type: String,
        /// For people.
        message: String,
    },
    /// No environment was free: the function did not run.
    Throttled,
}
