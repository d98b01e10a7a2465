//! The events of a function: routes of the HTTP API, and event source mappings.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-eventsource.html>

use super::mappings::{self, Targets};
use super::model::{Pipeline, Route};
use super::problem::{below, quoted};
use super::properties::{Findings, Properties};
use super::resolve::{Value, ValueKind};

const METHODS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Reads one event into `pipeline`.
pub(super) fn read(
    function: &str,
    id: &str,
    event: Value,
    targets: &Targets,
    pipeline: &mut Pipeline,
    findings: &mut Findings,
) {
    let place = below(&below(function, "Events"), id);
    if event.kind == ValueKind::Broken {
        return;
    }
    let mut event = Properties::new(&place, event, findings);
    let Some(kind) = event.required("Type") else { return };
    // as SAM names what it makes of an event
    let logical_id = format!("{function}{id}");
    if kind != "HttpApi" && targets.declared.contains(&logical_id) {
        event.problem("", format!("makes a mapping {}, which is a resource already", quoted(&logical_id)));
    }
    let mut properties = event.below("Properties");
    match kind.as_str() {
        "HttpApi" => route(function, targets, properties, pipeline),
        "Kinesis" => {
            let arn = properties.required("Stream");
            if let Some(stream) = arn.and_then(|arn| targets.stream(&arn, "Stream", &mut properties)) {
                mappings::kinesis(&logical_id, function, stream, targets, properties, pipeline);
            }
        }
        "SQS" => {
            let arn = properties.required("Queue");
            if let Some(queue) = arn.and_then(|arn| targets.queue(&arn, "Queue", &mut properties)) {
                mappings::sqs(&logical_id, function, queue, properties, pipeline);
            }
        }
        other => {
            let what = format!("is {}; this machine has events of type HttpApi, Kinesis and SQS", quoted(other));
            event.problem("Type", what);
            return;
        }
    }
    event.finish(&[], &[]);
}

fn route(function: &str, targets: &Targets, mut properties: Properties<'_>, pipeline: &mut Pipeline) {
    let (method, path) = (properties.required("Method"), properties.required("Path"));
    if let Some(version) = properties.text("PayloadFormatVersion").filter(|version| version != "2.0") {
        let what = format!("is {}; this machine speaks 2.0", quoted(&version));
        properties.problem("PayloadFormatVersion", what);
    }
    if let Some(api) = properties.text("ApiId").filter(|api| !targets.apis.contains(api)) {
        properties.problem("ApiId", format!("is {}, which is no HttpApi of this template", quoted(&api)));
    }
    let method = method.map(|method| match method.to_uppercase().as_str() {
        "X-AMAZON-APIGATEWAY-ANY-METHOD" => "ANY".to_owned(),
        method => method.to_owned(),
    });
    if let Some(method) = method.as_ref().filter(|method| !METHODS.contains(&method.as_str())) {
        properties.problem("Method", format!("is {}; it must be one of {}", quoted(method), METHODS.join(", ")));
    }
    if let Some(path) = path.as_ref().filter(|path| !path.starts_with('/')) {
        properties.problem("Path", format!("is {}; a path begins with `/`", quoted(path)));
    }
    if let (Some(method), Some(path)) = (method, path) {
        if pipeline.routes.iter().any(|route| route.method == method && route.path == path) {
            properties
                .problem("Path", format!("{} is a route that is there already", quoted(&format!("{method} {path}"))));
        }
        pipeline.routes.push(Route { method, path, function: function.to_owned() });
    }
    properties.finish(&["Stage"], &["Auth", "RouteSettings", "TimeoutInMillis"]);
}
