//! What a template names: parameters, conditions, resources and their attributes.

use super::*;

fn outputs(head: &str, value: &str) -> String {
    format!("{head}\nResources: {{Q: {{Type: AWS::SQS::Queue}}}}\nOutputs: {{X: {{Value: {value}}}}}\n")
}

fn output(head: &str, value: &str) -> String {
    read(&outputs(head, value)).expect(value).outputs["X"].clone()
}

const LISTS: &str =
    "Parameters: {One: {Type: CommaDelimitedList, Default: a}, Two: {Type: CommaDelimitedList, Default: 'a, b'}}";

#[test]
fn a_list_parameter_is_a_list_whatever_its_length() {
    assert_eq!(output(LISTS, "!Select [0, !Ref One]"), "a");
    assert_eq!(output(LISTS, "!Join ['-', !Ref Two]"), "a-b");
    assert!(refused(&outputs(LISTS, "!Sub 'x${Two}'")).contains("a list or a mapping stands where only text can"));
}

#[test]
fn every_pseudo_parameter_has_a_value() {
    assert_eq!(output("", "!Ref AWS::StackId"), "arn:aws:cloudformation:us-east-1:000000000000:stack/test/local");
    let text = "${AWS::Partition} ${AWS::Region} ${AWS::AccountId} ${AWS::StackName} ${AWS::URLSuffix}";
    assert_eq!(output("", &format!("!Sub '{text}'")), "aws us-east-1 000000000000 test amazonaws.com");
}

#[test]
fn long_forms_are_the_same_as_short_ones() {
    assert_eq!(
        output("", "{'Fn::Join': ['', [{Ref: AWS::Region}, {'Fn::GetAtt': [Q, QueueName]}]]}"),
        "us-east-1test-Q"
    );
    assert_eq!(output("Conditions: {C: {'Fn::Equals': [a, a]}}", "{'Fn::If': [C, yes, no]}"), "yes");
}

#[test]
fn a_parameter_is_held_to_its_declaration() {
    for (declaration, expected) in [
        ("{Type: String}", "has no default; set it with --parameter P=..."),
        ("{Default: a}", "has no `Type`"),
        ("{Type: Strng, Default: a}", "did you mean `String`?"),
        ("{Type: String, Defualt: a}", "`Defualt` is no attribute of a parameter (did you mean `Default`?)"),
        ("{Type: 'AWS::SSM::Parameter::Value<String>', Default: /a}", "no Parameter Store on this machine"),
        ("{Type: Number, Default: nan}", "it must be a number"),
        ("{Type: Number, Default: 3, MaxValue: 2}", "is 3; it must be at most 2"),
        ("{Type: String, Default: abc, MaxLength: 2}", "has 3 characters; it must have at most 2"),
        ("{Type: String, Default: ab, AllowedPattern: 'a|b'}", "is `ab`; it must match a|b"),
        ("{Type: CommaDelimitedList, Default: 'a,c', AllowedValues: [a, b]}", "is `c`; it must be one of a, b"),
        ("{Type: String, Default: [a]}", "write lists with commas"),
    ] {
        let error = refused(&outputs(&format!("Parameters: {{P: {declaration}}}"), "!Ref P"));
        assert!(error.starts_with("t.yaml:1: Parameters.P: ") && error.contains(expected), "{declaration}: {error}");
    }
}

#[test]
fn a_name_is_looked_at_wherever_it_stands() {
    for (text, expected) in [
        (
            outputs("Conditions: {C: !Equals [a, a]}", "!If [C, b, !Ref Qq]"),
            "there is no parameter or resource `Qq` (did you mean `Q`?)",
        ),
        (
            outputs("Conditions: {C: !Equals [!Ref Nope, a]}", "x"),
            "Conditions.C: there is no parameter or resource `Nope`",
        ),
        (outputs("Conditions: {C: !Equals [!Ref Q, a]}", "x"), "which conditions and names cannot look at"),
        (outputs("", "!Sub '${Q.Nam}'"), "`Q` has no attribute `Nam` on this machine"),
        (outputs("", "!If [Nope, a, b]"), "there is no condition `Nope`"),
        (outputs("", "!If [[a], a, b]"), "`Fn::If` takes the name of a condition"),
        (outputs("", "!ImportValue a"), "`Fn::ImportValue` is not supported"),
        (outputs("", "{Ref: Q, Other: a}"), "it must be alone"),
        (
            "Resources: {Q: {Type: AWS::SQS::Queue, DependsOn: [Nope]}}".into(),
            "Q.DependsOn: there is no resource `Nope`",
        ),
        (
            "Resources: {R: {Type: AWS::IAM::Role, Properties: {A: [{B: !GetAtt Nope.Arn}]}}}".into(),
            "R.A.B: there is no resource",
        ),
        ("Resources: {Q: {Type: AWS::SQS::Queue, Condition: Nope}}".into(), "Q: there is no condition `Nope`"),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref A}}}".into(),
            "conditions and names cannot look at",
        ),
        ("Transform: AWS::LanguageExtensions\nResources: {}".into(), "is not run on this machine"),
    ] {
        let error = refused(&text);
        assert!(error.contains(expected), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "and is told once: {error}");
    }
}

#[test]
fn dynamodb_streams_are_refused_by_name() {
    let table = "T: {Type: AWS::DynamoDB::Table, Properties: {AttributeDefinitions: [{AttributeName: k, AttributeType: S}], \
                 KeySchema: [{AttributeName: k, KeyType: HASH}]}}";
    let error = refused(&format!("Resources: {{{table}}}\nOutputs: {{X: {{Value: !GetAtt T.StreamArn}}}}"));
    assert!(error.contains("there are no DynamoDB streams on this machine"), "{error}");
}

#[test]
fn what_is_not_run_may_use_what_is_not_supported() {
    let text = "Resources: {A: {Type: AWS::CloudWatch::Dashboard, Properties: {X: !ImportValue y, Z: !GetAtt T.TopicName}}, T: {Type: AWS::SNS::Topic}}";
    assert_eq!(read(text).unwrap().warnings.len(), 2);
}

const OFF: &str = "
Conditions: {Off: !Equals [a, b]}
Resources:
  Q: {Type: AWS::SQS::Queue, Condition: Off}
";

#[test]
fn an_output_whose_condition_does_not_hold_is_not_there() {
    assert!(read(&format!("{OFF}Outputs: {{X: {{Condition: Off, Value: !Ref Q}}}}")).unwrap().outputs.is_empty());
    let error = refused(&format!("{OFF}Outputs: {{X: {{Value: !Ref Q}}}}"));
    assert!(error.ends_with("`Q` is not there, because its condition `Off` does not hold"), "{error}");
}

#[test]
fn what_sam_makes_can_be_named_where_it_makes_it() {
    let function = |more: &str| {
        format!(
            "Resources: {{F: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: f, Runtime: provided.al2023{more}}}}}}}\n\
             Outputs: {{A: {{Value: !Sub 'https://${{ServerlessHttpApi}}'}}, R: {{Value: !GetAtt FRole.Arn}}}}\n"
        )
    };
    let event = |properties: &str| {
        format!(", Events: {{E: {{Type: HttpApi, Properties: {{Method: GET, Path: /{properties}}}}}}}")
    };
    let pipeline = read(&function(&event(""))).unwrap();
    assert_eq!(pipeline.outputs["A"], "https://serverlesshttpapi");
    assert!(refused(&function("")).contains("`ServerlessHttpApi`"));
    assert!(refused(&function(&format!("{}, Role: arn:x", event("")))).contains("there is no resource `FRole`"));
}

#[test]
fn one_unresolved_name_is_one_problem() {
    let error = refused("Resources: {S: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: !Ref Nope}}}");
    assert_eq!(error, "t.yaml:1: S.ShardCount: there is no parameter or resource `Nope`");
}
