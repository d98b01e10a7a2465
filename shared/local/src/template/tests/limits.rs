//! Templates made to take all memory, all of the stack or all day.

use std::time::{Duration, Instant};

use super::*;

/// Far more than any of these takes, far less than what it would take without its bound.
const SOON: Duration = Duration::from_secs(10);

/// What `text` is refused with, soon.
fn soon_refused(text: &str) -> String {
    let started = Instant::now();
    let error = refused(text);
    assert!(started.elapsed() < SOON, "took {:?}", started.elapsed());
    error
}

fn conditions(first: &str, count: usize, next: impl Fn(usize) -> String, backwards: bool) -> String {
    let mut lines: Vec<_> = (1..count).map(|i| format!("  C{i}: {}\n", next(i - 1))).collect();
    lines.insert(0, format!("  C0: {first}\n"));
    if backwards {
        lines.reverse();
    }
    format!("Conditions:\n{}Resources:\n  Q: {{Type: AWS::SQS::Queue, Condition: C{}}}\n", lines.concat(), count - 1)
}

#[test]
fn a_long_chain_of_conditions_overflows_no_stack() {
    let chain = |backwards| conditions("!Equals [a, a]", 20_000, |i| format!("!Condition C{i}"), backwards);
    assert_eq!(read(&chain(false)).unwrap().queues.len(), 1, "each is known when the next one asks");
    assert!(soon_refused(&chain(true)).contains("conditions refer to each other over more than 100 levels"));
}

#[test]
fn conditions_that_are_asked_twice_are_worked_out_once() {
    let started = Instant::now();
    let text = conditions("!Equals [a, a]", 40, |i| format!("!And [!Condition C{i}, !Condition C{i}]"), true);
    assert_eq!(read(&text).unwrap().queues.len(), 1);
    assert!(started.elapsed() < SOON);
}

#[test]
fn conditions_in_a_circle_are_refused() {
    let error = soon_refused(&conditions("!Not [!Condition C2]", 3, |i| format!("!Not [!Condition C{i}]"), false));
    assert!(error.contains("refers to itself"), "{error}");
}

#[test]
fn the_deepest_conditions_fit_the_stack_of_a_test() {
    let nested = |i: usize| format!("{}!Condition C{i}{}", "!Not [".repeat(50), "]".repeat(50));
    assert!(soon_refused(&conditions("!Equals [a, a]", 50, nested, true)).contains("more than 100 levels"));
}

#[test]
fn a_mapping_that_names_itself_is_refused() {
    let text =
        "Mappings: {A: {b: {c: !FindInMap [A, b, c]}}}\nResources: {}\nOutputs: {X: {Value: !FindInMap [A, b, c]}}";
    assert!(soon_refused(text).contains("must be text or a list of texts"));
}

#[test]
fn a_text_that_multiplies_itself_is_refused() {
    let mut value = "ha".to_owned();
    for _ in 0..25 {
        value = format!("!Sub ['${{a}}${{a}}${{a}}${{a}}', {{a: {value}}}]");
    }
    let error = soon_refused(&format!("Resources: {{}}\nOutputs: {{X: {{Value: {value}}}}}"));
    assert!(error.contains("the template's values take more than 67108864 bytes"), "{error}");
}

#[test]
fn a_large_parameter_that_is_named_often_is_refused() {
    let (large, often) = ("x".repeat(300_000), "${P}".repeat(10_000));
    let outputs = (0..10).map(|i| format!("  X{i}: {{Value: !Sub '{often}'}}\n")).collect::<String>();
    let text = format!("Parameters: {{P: {{Type: String, Default: {large}}}}}\nResources: {{}}\nOutputs:\n{outputs}");
    assert!(soon_refused(&text).contains("the template's values take more than"));
}

#[test]
fn an_environment_is_held_to_what_lambda_takes() {
    let function = |bytes: usize| {
        let value = "x".repeat(bytes - 1);
        format!(
            "Globals: {{Function: {{Environment: {{Variables: {{A: {value}}}}}}}}}\n\
             Resources: {{F: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: f, Runtime: provided.al2023}}}}}}"
        )
    };
    assert!(read(&function(4096)).is_ok());
    assert!(refused(&function(4097)).contains("F.Environment.Variables: has 4097 bytes; AWS takes 4096"));
}

#[test]
fn many_names_and_long_names_are_refused_soon() {
    let queues: String = (0..20_000).map(|i| format!("  Q{i}: {{Type: AWS::SQS::Queue}}\n")).collect();
    assert!(soon_refused(&format!("Resources:\n{queues}")).contains("has 20000 resources; CloudFormation takes 500"));
    let (a, b) = ("x".repeat(200_000), "y".repeat(200_000));
    let text = format!(
        "Resources: {{}}\nParameters:\n  ? {a}\n  : {{Type: String, Default: a}}\nOutputs: {{X: {{Value: !Ref {b}}}}}"
    );
    assert!(soon_refused(&text).len() < 1_000);
}
