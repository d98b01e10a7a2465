//! The resources of a template, in three passes: which there are, what each is known by, what each says.

use std::collections::BTreeMap;

use super::functions::{self, Block};
use super::identity::{Identity, RUN, STREAM_CONSUMER, Type};
use super::mappings::{self, Source, Targets};
use super::model::Pipeline;
use super::names::Names;
use super::node::Node;
use super::problem::{Problem, below, did_you_mean, quoted};
use super::properties::{Findings, Properties};
use super::resolve::{Scope, Value};
use super::{Context, alarms, sections, storage};

/// A resource that is there: it is of a known type and its condition holds.
struct Resource<'a> {
    id: &'a str,
    kind: Type,
    node: &'a Node,
}

/// Reads everything. The pipeline is whole if there are no problems.
pub(super) fn read(root: &Node, context: &Context) -> (Pipeline, Vec<Problem>) {
    let mut scope = Scope::new(root, context);
    sections::check(root, &mut scope.problems);
    let resources = present(root, &mut scope);
    name_all(&resources, &mut scope);
    let mut pipeline = Pipeline::default();
    read_all(root, &resources, &mut scope, &mut pipeline);
    storage::order_queues(&mut pipeline.queues);
    mappings::check_visibility(&pipeline, |id| line_of(&resources, id), &mut scope.problems);
    outputs(root, &mut scope, &mut pipeline);
    pipeline.warnings.append(&mut scope.warnings);
    (pipeline, scope.problems)
}

fn line_of(resources: &[Resource<'_>], id: &str) -> usize {
    resources.iter().find(|resource| resource.id == id).map_or(0, |resource| resource.node.line)
}

fn present<'a>(root: &'a Node, scope: &mut Scope<'_>) -> Vec<Resource<'a>> {
    let mut found = Vec::new();
    let mut not_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut unenforced = false;
    for (id, node) in sections::resources(root) {
        scope.place = below("", id);
        let Some(name) = node.get("Type").and_then(Node::text) else {
            scope.problem(node.line, "has no `Type`");
            continue;
        };
        let Some(kind) = Type::of(name) else {
            let known = RUN.map(|(known, _)| known);
            let hint = did_you_mean(name, known);
            let line = node.get("Type").unwrap_or(node).line;
            scope.problem(
                line,
                format!("{} cannot be run on this machine{hint}; it runs {}", quoted(name), known.join(", ")),
            );
            continue;
        };
        if let Some(condition) = node.get("Condition") {
            let Some(name) = condition.text() else { continue };
            if !scope.condition(name, condition.line) {
                scope.left_out.insert(id.clone(), name.to_owned());
                continue;
            }
        }
        match kind {
            Type::Unenforced(_) => unenforced = true,
            Type::NotRun(name) => not_run.entry(name).or_default().push(id),
            Type::Stream | Type::Table | Type::Queue | Type::Function | Type::HttpApi | Type::Mapping | Type::Alarm => {
            }
        }
        found.push(Resource { id, kind, node });
    }
    scope.place.clear();
    if unenforced {
        scope.warnings.push("permissions and log groups are not enforced on this machine".to_owned());
    }
    scope.warnings.extend(not_run.into_iter().map(|(kind, ids)| match ids.as_slice() {
        [id] => format!("1 resource of type {kind} is not evaluated on this machine: {id}"),
        ids => format!("{} resources of type {kind} are not evaluated on this machine: {}", ids.len(), ids.join(", ")),
    }));
    found
}

/// Gives every resource its name, and what is known by it.
fn name_all(resources: &[Resource<'_>], scope: &mut Scope<'_>) {
    let mut taken: BTreeMap<(Type, String), &str> = BTreeMap::new();
    let mut named = BTreeMap::new();
    let implied: Vec<_> = scope.names.resources.iter().filter_map(|(id, kind)| Some((id.clone(), (*kind)?))).collect();
    let declared = |id: &str| resources.iter().any(|resource| resource.id == id) || scope.left_out.contains_key(id);
    let implied: Vec<_> = implied.into_iter().filter(|(id, _)| !declared(id)).collect();
    let by_default = |id: &str, kind: Type, context: &Context| match kind {
        // AWS makes up an API's id, which is no name
        Type::HttpApi => id.to_owned(),
        _ => format!("{}-{id}", context.stack_name),
    };
    for Resource { id, kind, node } in resources {
        let rule = kind.name_rule();
        let given = rule.as_ref().and_then(|(property, ..)| node.get("Properties")?.get(property));
        let mut name = by_default(id, *kind, scope.context);
        if let (Some((property, lengths, characters)), Some(given)) = (rule, given) {
            scope.place = below(id, property);
            // one that cannot be resolved has been told of
            if let Some(text) = scope.resolve_text(given).filter(|text| !text.is_empty()) {
                let fits = |c: char| c.is_ascii_alphanumeric() || characters.contains(c);
                if !lengths.contains(&text.len())
                    || !text.chars().all(|c| fits(c) || (*kind == Type::Queue && c == '.'))
                {
                    let (min, max) = lengths.into_inner();
                    let what =
                        format!("is {}; AWS takes {min} to {max} letters, digits and {characters}", quoted(&text));
                    scope.problem(given.line, what);
                }
                name = text;
            }
        }
        scope.place = below("", id);
        if let Some(first) = kind.name_rule().and_then(|_| taken.insert((*kind, name.clone()), id)) {
            scope.problem(node.line, format!("has the name {}, as {first} has", quoted(&name)));
        }
        named.insert((*id).to_owned(), Identity::new(*kind, name, scope.context));
    }
    for (id, kind) in implied {
        let name = by_default(&id, kind, scope.context);
        named.insert(id, Identity::new(kind, name, scope.context));
    }
    scope.place.clear();
    // only now: a name made of another resource's would depend on the order
    scope.resources = named;
}

fn targets(resources: &[Resource<'_>], identities: &BTreeMap<String, Identity>, names: &Names) -> Targets {
    let of = |wanted: Type| {
        let matching = resources.iter().filter(move |resource| resource.kind == wanted);
        matching.map(|resource| (&identities[resource.id], resource.id.to_owned()))
    };
    let apis = names.resources.iter().filter(|(_, kind)| **kind == Some(Type::HttpApi));
    Targets {
        streams: of(Type::Stream).map(|(identity, id)| (identity.arn().to_owned(), id)).collect(),
        queues: of(Type::Queue).map(|(identity, id)| (identity.arn().to_owned(), id)).collect(),
        functions: of(Type::Function)
            .flat_map(|(identity, id)| [(identity.name.clone(), id.clone()), (identity.arn().to_owned(), id)])
            .collect(),
        apis: apis.filter_map(|(id, _)| Some(identities.get(id)?.reference.clone())).collect(),
        declared: names.resources.keys().cloned().collect(),
    }
}

fn read_all(root: &Node, resources: &[Resource<'_>], scope: &mut Scope<'_>, pipeline: &mut Pipeline) {
    let mut targets = targets(resources, &scope.resources, &scope.names);
    stream_consumers(resources, scope, &mut targets);
    let mut findings = Findings::default();
    scope.place = "Globals.Function".to_owned();
    let globals = root.get("Globals").and_then(|globals| globals.get("Function")).map(|node| scope.resolve(node));
    let globals = functions::globals(globals, &mut findings);
    for Resource { id, kind, node } in resources {
        if matches!(kind, Type::Unenforced(_) | Type::NotRun(_)) {
            continue;
        }
        scope.place = below("", id);
        let properties = node.get("Properties").map(|properties| scope.resolve(properties));
        let value = properties.unwrap_or_else(|| Value::absent(node.line));
        if *kind == Type::Function {
            let binary = node.get("Metadata").and_then(|metadata| metadata.get("BuildProperties"));
            let binary = binary.and_then(|properties| properties.get("Binary"));
            let binary = binary.and_then(|node| scope.resolve_text(node));
            let identity = &scope.resources[*id];
            let block = Block { logical_id: id, identity, binary, globals: &globals, properties: value };
            functions::read(block, &targets, pipeline, &mut findings);
            continue;
        }
        let identity = &scope.resources[*id];
        let properties = Properties::new(id, value, &mut findings);
        match kind {
            Type::Stream => pipeline.streams.push(storage::stream(id, identity, properties)),
            Type::Table => pipeline.tables.extend(storage::table(id, identity, properties)),
            Type::Queue => pipeline.queues.push(storage::queue(id, identity, &targets, properties)),
            Type::Mapping => mapping(id, &targets, pipeline, properties),
            Type::HttpApi => http_api(properties),
            Type::Alarm => pipeline.alarms.extend(alarms::read(id, properties)),
            Type::Function | Type::Unenforced(_) | Type::NotRun(_) => {}
        }
    }
    scope.place.clear();
    scope.problems.append(&mut findings.problems);
    scope.warnings.append(&mut findings.warnings);
}

/// Each stands for its stream.
fn stream_consumers(resources: &[Resource<'_>], scope: &mut Scope<'_>, targets: &mut Targets) {
    for Resource { id, node, .. } in resources.iter().filter(|resource| resource.kind == Type::NotRun(STREAM_CONSUMER))
    {
        scope.place = below(id, "StreamARN");
        let Some(named) = node.get("Properties").and_then(|properties| properties.get("StreamARN")) else {
            scope.problem(node.line, "is missing");
            continue;
        };
        let Some(arn) = scope.resolve_text(named) else { continue };
        match targets.streams.get(&arn).cloned() {
            Some(stream) => _ = targets.streams.insert(scope.resources[*id].reference.clone(), stream),
            None => {
                let what = format!("is {}, which is the ARN of no stream of this template", quoted(&arn));
                scope.problem(named.line, what);
            }
        }
    }
    scope.place.clear();
}

fn http_api(properties: Properties<'_>) {
    properties.finish(
        &[
            "AccessLogSettings",
            "Description",
            "FailOnWarnings",
            "Name",
            "PropagateTags",
            "StageName",
            "StageVariables",
            "Tags",
        ],
        &[
            "Auth",
            "CorsConfiguration",
            "DefaultRouteSettings",
            "DefinitionBody",
            "DefinitionUri",
            "DisableExecuteApiEndpoint",
            "Domain",
            "RouteSettings",
        ],
    );
}

/// A mapping that is a resource of its own.
fn mapping(id: &str, targets: &Targets, pipeline: &mut Pipeline, mut properties: Properties<'_>) {
    let (source, named) = (properties.required("EventSourceArn"), properties.required("FunctionName"));
    let function = named.as_ref().and_then(|named| targets.functions.get(named));
    if let (Some(named), None) = (&named, function) {
        properties.problem("FunctionName", format!("is {}, which is no function of this template", quoted(named)));
    }
    let source = source.and_then(|arn| {
        let found = targets.source(&arn);
        if found.is_none() {
            let what = format!("is {}, which is the ARN of no stream or queue of this template", quoted(&arn));
            properties.problem("EventSourceArn", what);
        }
        found
    });
    let function = function.map_or("", String::as_str);
    match source {
        Some(Source::Stream(stream)) => mappings::kinesis(id, function, stream, targets, properties, pipeline),
        Some(Source::Queue(queue)) => mappings::sqs(id, function, queue, properties, pipeline),
        // which properties it may have depends on what it reads
        None => {}
    }
}

fn outputs(root: &Node, scope: &mut Scope<'_>, pipeline: &mut Pipeline) {
    for (name, output) in sections::members(root, "Outputs") {
        scope.place = below("Outputs", name);
        let condition = output.get("Condition").and_then(|node| Some((node.text()?, node.line)));
        if condition.is_some_and(|(condition, line)| !scope.condition(condition, line)) {
            continue;
        }
        scope.place = below(&scope.place, "Value");
        if let Some(text) = output.get("Value").and_then(|value| scope.resolve_text(value)) {
            pipeline.outputs.insert(name.clone(), text);
        }
    }
}
