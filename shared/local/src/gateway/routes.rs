//! Routes: the most specific one answers.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>: a full match before
//! one with variables, that before a greedy one (`{proxy+}`), and `$default` last; a method before `ANY`.

use std::collections::BTreeMap;

use http::Method;

/// A route that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    /// Not a path.
    #[error("`{0}` is no route: a path begins with `/`, and `{{name+}}` can only be its last part")]
    Path(String),
    /// The same route twice.
    #[error("the route `{0}` is there twice")]
    Twice(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(String),
    Greedy(String),
}

struct Route<T> {
    key: String,
    method: Option<Method>,
    parts: Vec<Part>,
    target: T,
}

pub(super) struct Routes<T>(Vec<Route<T>>);

/// The route of a request.
pub(super) struct Found<'a, T> {
    pub(super) key: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) target: &'a T,
}

impl<T> Routes<T> {
    pub(super) fn new(from: Vec<(String, String, T)>) -> Result<Self, RouteError> {
        let mut routes: Vec<Route<T>> = Vec::new();
        for (method, path, target) in from {
            let any = method.eq_ignore_ascii_case("ANY");
            let key = format!("{} {path}", method.to_uppercase());
            let method = match (any, method.to_uppercase().parse()) {
                (true, _) => None,
                (false, Ok(method)) => Some(method),
                (false, Err(_)) => return Err(RouteError::Path(key)),
            };
            let parts = parse(&path).ok_or_else(|| RouteError::Path(path.clone()))?;
            if routes.iter().any(|other| other.key == key) {
                return Err(RouteError::Twice(key));
            }
            routes.push(Route { key, method, parts, target });
        }
        Ok(Self(routes))
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Option<Found<'_, T>> {
        let segments = split(path);
        let matching = self.0.iter().filter_map(|route| {
            let fits = route.method.as_ref().is_none_or(|own| own == method);
            fits.then(|| parameters(&route.parts, &segments)).flatten().map(|parameters| (route, parameters))
        });
        let (route, parameters) = matching.max_by_key(|(route, _)| {
            let literal = |part: &Part| matches!(part, Part::Literal(_));
            let greedy = route.parts.iter().any(|part| matches!(part, Part::Greedy(_)));
            (!greedy, route.parts.iter().filter(|part| literal(part)).count(), route.method.is_some())
        })?;
        Some(Found { key: route.key.clone(), parameters, target: &route.target })
    }
}

fn split(path: &str) -> Vec<&str> {
    path.split('/').skip(1).collect()
}

fn parse(path: &str) -> Option<Vec<Part>> {
    if !path.starts_with('/') {
        return None;
    }
    let segments = split(path);
    let last = segments.len().saturating_sub(1);
    let part = |(index, segment): (usize, &&str)| {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return (!segment.contains(['{', '}'])).then(|| Part::Literal((*segment).to_owned()));
        };
        match name.strip_suffix('+') {
            Some(name) => (index == last).then(|| Part::Greedy(name.to_owned())),
            None => Some(Part::Variable(name.to_owned())),
        }
    };
    segments.iter().enumerate().map(part).collect()
}

fn parameters(parts: &[Part], segments: &[&str]) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Greedy(name) => {
                let rest = segments.get(index..).filter(|rest| !rest.is_empty())?;
                parameters.insert(name.clone(), rest.join("/"));
                return Some(parameters);
            }
            Part::Variable(name) => {
                let segment = segments.get(index).filter(|segment| !segment.is_empty())?;
                parameters.insert(name.clone(), (*segment).to_owned());
            }
            Part::Literal(text) if segments.get(index) == Some(&text.as_str()) => {}
            Part::Literal(_) => return None,
        }
    }
    (parts.len() == segments.len()).then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str) -> Option<(usize, BTreeMap<String, String>)> {
        let routes = [("POST", "/v1/events"), ("ANY", "/v1/{name}"), ("ANY", "/v1/{rest+}"), ("GET", "/v1/{name}")];
        let routes = routes.iter().enumerate().map(|(n, (m, p))| ((*m).to_owned(), (*p).to_owned(), n)).collect();
        let routes = Routes::new(routes).unwrap();
        routes.find(&Method::POST, path).map(|found| (*found.target, found.parameters))
    }

    #[test]
    fn the_most_specific_route_answers() {
        assert_eq!(find("/v1/events").unwrap().0, 0);
        let (target, parameters) = find("/v1/things").unwrap();
        assert_eq!((target, parameters["name"].as_str()), (1, "things"));
        let (target, parameters) = find("/v1/a/b").unwrap();
        assert_eq!((target, parameters["rest"].as_str()), (2, "a/b"));
        assert!(find("/v2").is_none() && find("/v1").is_none());
    }

    #[test]
    fn what_is_no_route_is_named() {
        let new = |path: &str| Routes::new(vec![("GET".to_owned(), path.to_owned(), ())]).err();
        assert_eq!(new("v1"), Some(RouteError::Path("v1".to_owned())));
        assert_eq!(new("/{a+}/b"), Some(RouteError::Path("/{a+}/b".to_owned())));
        assert_eq!(new("/a{b}"), Some(RouteError::Path("/a{b}".to_owned())));
    }
}
