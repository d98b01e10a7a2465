//! CloudFormation: says what the one stack here is called and what its outputs are.
//!
//! `DescribeStacks` alone, in the query protocol. With it `recover` and the operator's commands find the groups of a local
//! run by the code that finds those of a deployed stack.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html>

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use aws_smithy_xml::encode::{ScopeWriter, XmlWriter};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

const NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";

/// The stack, once it is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloudFormation(Arc<OnceLock<LocalStack>>);

/// What is to be said of it.
#[derive(Debug)]
pub(crate) struct LocalStack {
    /// Its name.
    pub(crate) name: String,
    /// Its ARN.
    pub(crate) id: String,
    /// The template's outputs, resolved.
    pub(crate) outputs: BTreeMap<String, String>,
}

impl CloudFormation {
    /// From now on it is there. A second one changes nothing.
    pub(crate) fn create(&self, stack: LocalStack) {
        _ = self.0.set(stack);
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    fn describe(&self, wanted: Option<&str>) -> Result<String, Refusal> {
        let stack = self.0.get().filter(|stack| wanted.is_none_or(|wanted| wanted == stack.name || wanted == stack.id));
        if let (None, Some(wanted)) = (stack, wanted) {
            return Err(Refusal { code: "ValidationError", message: format!("Stack with id {wanted} does not exist") });
        }
        Ok(document("DescribeStacksResponse", |response| {
            within(response, "DescribeStacksResult", |result| {
                within(result, "Stacks", |stacks| stack.into_iter().for_each(|stack| member(stacks, stack)));
            });
        }))
    }
}

fn member(stacks: &mut ScopeWriter<'_, '_>, stack: &LocalStack) {
    within(stacks, "member", |member| {
        text(member, "StackId", &stack.id);
        text(member, "StackName", &stack.name);
        // that of a stack that was never updated, at a time that means nothing here
        text(member, "StackStatus", "CREATE_COMPLETE");
        text(member, "CreationTime", "2000-01-01T00:00:00.000Z");
        within(member, "Outputs", |outputs| {
            for (key, value) in &stack.outputs {
                within(outputs, "member", |output| {
                    text(output, "OutputKey", key);
                    text(output, "OutputValue", value);
                });
            }
        });
    });
}

/// An error as CloudFormation says it.
struct Refusal {
    code: &'static str,
    message: String,
}

async fn answer(State(service): State<CloudFormation>, body: Bytes) -> Response {
    let arguments: BTreeMap<_, _> = form_urlencoded::parse(&body).collect();
    let action = arguments.get("Action").map_or("", |action| action.as_ref());
    let described = match action {
        "DescribeStacks" => service.describe(arguments.get("StackName").map(|name| name.as_ref())),
        _ => Err(Refusal {
            code: "InvalidAction",
            message: format!("`{action}` is not answered here: DescribeStacks is all that this machine has"),
        }),
    };
    let (status, document) = match described {
        Ok(document) => (StatusCode::OK, document),
        Err(refusal) => (StatusCode::BAD_REQUEST, refused(&refusal)),
    };
    (status, [(header::CONTENT_TYPE, "text/xml")], document).into_response()
}

fn refused(refusal: &Refusal) -> String {
    document("ErrorResponse", |response| {
        within(response, "Error", |error| {
            text(error, "Type", "Sender");
            text(error, "Code", refusal.code);
            text(error, "Message", &refusal.message);
        });
    })
}

fn document(name: &str, write: impl FnOnce(&mut ScopeWriter<'_, '_>)) -> String {
    let mut document = String::new();
    let mut writer = XmlWriter::new(&mut document);
    let mut root = writer.start_el(name).write_ns(NAMESPACE, None).finish();
    write(&mut root);
    root.finish();
    document
}

fn within(scope: &mut ScopeWriter<'_, '_>, name: &str, write: impl FnOnce(&mut ScopeWriter<'_, '_>)) {
    let mut element = scope.start_el(name).finish();
    write(&mut element);
    element.finish();
}

fn text(scope: &mut ScopeWriter<'_, '_>, name: &str, text: &str) {
    within(scope, name, |element| element.data(text));
}
