//! The way to the collector: the HTTP client that the SDK's clients use, which is linked already.

use std::sync::OnceLock;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};

#[derive(Debug)]
pub(super) struct Client {
    /// Made when the first spans are sent: the certificates take milliseconds to read.
    connector: OnceLock<Connector>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self { connector: OnceLock::new() }
    }

    fn connector(&self) -> &Connector {
        let provider = Provider::Rustls(CryptoMode::AwsLc);
        self.connector.get_or_init(|| Connector::builder().tls_provider(provider).build())
    }
}

// the exporter asks for this form
#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = HttpRequest::try_from(request.map(SdkBody::from))?;
        let response = self.connector().call(request).await?.try_into_http1x()?;
        let (parts, body) = response.into_parts();
        let body = ByteStream::new(body).collect().await?.into_bytes();
        Ok(Response::from_parts(parts, body))
    }
}
