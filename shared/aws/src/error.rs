//! From the SDK's errors to the core's: may I ask again, and did it perhaps happen?

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use penstock::ports;

/// Codes of all three services that say "too much".
const THROTTLES: [&str; 8] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "LimitExceededException",
    "KMSThrottlingException",
    "OverLimit",
    "SlowDown",
];

/// Whether a code says "too much".
pub(crate) fn is_throttle(code: &str) -> bool {
    THROTTLES.contains(&code)
}

/// What a failed call means to the core.
pub fn classify<E, R>(what: &str, error: SdkError<E, R>) -> ports::Error
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: StatusCode,
{
    let detail = |error: &E| {
        let code = error.code().unwrap_or("an error without a code");
        format!("{what}: {code}: {}", error.message().unwrap_or("no message"))
    };
    match &error {
        SdkError::ConstructionFailure(_) => ports::Error::Refused(format!("{what}: the request could not be built")),
        SdkError::TimeoutError(_) => ports::Error::Unavailable(format!("{what}: no answer in time")),
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            ports::Error::Unavailable(format!("{what}: not connected: {cause}"))
        }
        SdkError::ServiceError(context) => {
            let mut detail = detail(context.err());
            if context.err().code().is_none() {
                detail.push_str(&format!(" (HTTP {})", context.raw().status()));
            }
            if context.err().code().is_some_and(is_throttle) {
                ports::Error::Throttled(detail)
            } else if context.raw().status() >= 500 {
                ports::Error::Unavailable(detail)
            } else {
                // AccessDenied, ResourceNotFound, KMS, expired tokens: about the call, never about an event in it
                ports::Error::Refused(detail)
            }
        }
        _ => ports::Error::Unavailable(format!("{what}: the answer could not be read")),
    }
}

/// An HTTP response that has a status.
pub trait StatusCode {
    /// Its number.
    fn status(&self) -> u16;
}

impl StatusCode for aws_sdk_kinesis::config::http::HttpResponse {
    fn status(&self) -> u16 {
        self.status().as_u16()
    }
}
