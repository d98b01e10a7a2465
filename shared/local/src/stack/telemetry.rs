//! Where the functions send their traces.

use std::collections::{BTreeMap, BTreeSet};

use crate::operator;
use crate::template::Pipeline;

/// The variables that name an endpoint for traces, the one that wins first:
/// <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What the functions get: `given`, and the stack as the endpoint unless `given` names one.
pub(super) fn variables(given: Option<&BTreeMap<String, String>>, stack: &str) -> BTreeMap<String, String> {
    let Some(given) = given else { return BTreeMap::new() };
    let mut variables = given.clone();
    if endpoint(given).is_none() {
        let own = format!("{stack}{}{}", operator::PREFIX, operator::OTLP);
        variables.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), own);
    }
    variables
}

/// The endpoints other than the stack that functions with these variables send traces to.
pub(super) fn elsewhere(pipeline: &Pipeline, variables: &BTreeMap<String, String>, stack: &str) -> Vec<String> {
    let endpoints = pipeline.functions.iter().filter_map(|function| {
        let mut all = variables.clone();
        all.extend(function.environment.clone());
        endpoint(&all).filter(|endpoint| !endpoint.starts_with(&format!("{stack}{}/", operator::PREFIX))).cloned()
    });
    endpoints.collect::<BTreeSet<_>>().into_iter().collect()
}

fn endpoint(variables: &BTreeMap<String, String>) -> Option<&String> {
    ENDPOINTS.iter().find_map(|name| variables.get(*name).filter(|value| !value.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = "http://127.0.0.1:7070";

    fn get(given: &[(&str, &str)]) -> BTreeMap<String, String> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables(Some(&given), STACK)
    }

    #[test]
    fn the_stack_is_the_endpoint_unless_one_is_named() {
        let own = "http://127.0.0.1:7070/_penstock/otlp";
        assert_eq!(get(&[])["OTEL_EXPORTER_OTLP_ENDPOINT"], own);
        let empty = get(&[("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_TRACES_SAMPLER", "always_on")]);
        assert_eq!((empty["OTEL_EXPORTER_OTLP_ENDPOINT"].as_str(), empty.len()), (own, 2));
        for name in ENDPOINTS {
            let given = [(name, "http://collector:4318"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b")];
            let variables = get(&given);
            assert_eq!((variables[name].as_str(), variables.len()), ("http://collector:4318", 2));
        }
        assert!(variables(None, STACK).is_empty());
    }
}
