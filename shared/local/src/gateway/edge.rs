//! What the gateway stands for.

/// An edge of AWS, by the events that its function gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Edge {
    /// An HTTP API with payload 2.0, as the template has it.
    #[default]
    HttpApi,
    /// A REST API, with payload 1.0. It has no binary media types: every body is text, and what is no UTF-8 is lost.
    RestApi,
    /// A function URL, with payload 2.0.
    FunctionUrl,
}
