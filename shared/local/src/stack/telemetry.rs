//! Where the functions send their traces.

use std::collections::{BTreeMap, BTreeSet};

use crate::operator;
use crate::template::Pipeline;

/// The variables that name an endpoint for traces, the one that wins first:
/// <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What the functions are told about telemetry. As OpenTelemetry has it, a variable that is empty is not set.
pub(super) struct Telemetry {
    /// The variables of whoever starts the stack; `None` leaves all to the template.
    given: Option<BTreeMap<String, String>>,
    /// The stack's own endpoint.
    own: String,
}

impl Telemetry {
    /// `stack` is where the stack listens.
    pub(super) fn new(given: Option<&BTreeMap<String, String>>, stack: &str) -> Self {
        let set = |given: &BTreeMap<String, String>| {
            given.iter().filter(|(_, value)| is_set(value)).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Self { given: given.map(set), own: format!("{stack}{}{}", operator::PREFIX, operator::OTLP) }
    }

    /// Completes a function's environment as the template has it.
    pub(super) fn complete(&self, environment: &mut BTreeMap<String, String>) {
        let Some(given) = &self.given else { return };
        if endpoint(given).is_some() {
            // the template may name the one that wins
            environment.retain(|name, _| !ENDPOINTS.contains(&name.as_str()));
        }
        environment.extend(given.clone());
        if endpoint(environment).is_none() {
            environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), self.own.clone());
        }
    }

    /// The endpoints other than the stack that the functions send traces to.
    pub(super) fn elsewhere(&self, pipeline: &Pipeline) -> Vec<String> {
        let endpoints = pipeline.functions.iter().filter_map(|function| {
            let mut environment = function.environment.clone();
            self.complete(&mut environment);
            endpoint(&environment).filter(|endpoint| !endpoint.starts_with(&self.own)).cloned()
        });
        endpoints.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn endpoint(variables: &BTreeMap<String, String>) -> Option<&String> {
    ENDPOINTS.iter().find_map(|name| variables.get(*name).filter(|value| is_set(value)))
}

fn is_set(value: &str) -> bool {
    !value.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "http://127.0.0.1:7070/_penstock/otlp";
    const TRACES: &str = ENDPOINTS[0];
    const ALL: &str = ENDPOINTS[1];

    fn map(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn complete(given: &[(&str, &str)], template: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut environment = map(template);
        Telemetry::new(Some(&map(given)), "http://127.0.0.1:7070").complete(&mut environment);
        environment
    }

    #[test]
    fn the_stack_is_the_endpoint_unless_somebody_names_one() {
        assert_eq!(complete(&[], &[("A", "b")]), map(&[("A", "b"), (ALL, OWN)]));
        assert_eq!(complete(&[(ALL, " ")], &[(ALL, "")]), map(&[(ALL, OWN)]), "what is empty is not set");
        for name in ENDPOINTS {
            assert_eq!(complete(&[(name, "http://c:4318")], &[]), map(&[(name, "http://c:4318")]));
            assert_eq!(complete(&[], &[(name, "http://c:4318")]), map(&[(name, "http://c:4318")]));
        }
    }

    #[test]
    fn whoever_starts_the_stack_decides_before_the_template() {
        let template = [("OTEL_TRACES_SAMPLER", "always_on"), (TRACES, "http://t")];
        let given = [("OTEL_TRACES_SAMPLER", "always_off"), (ALL, "http://g"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b")];
        assert_eq!(complete(&given, &template), map(&given));
        let mut left = map(&template);
        Telemetry::new(None, "http://127.0.0.1:7070").complete(&mut left);
        assert_eq!(left, map(&template));
    }
}
