mod alarms;
mod limits;
mod names;
mod refusals;

use std::time::Duration;

use proptest::prelude::*;

use super::model::Start;
use super::*;

fn context() -> Context {
    Context {
        region: "us-east-1".into(),
        account_id: "000000000000".into(),
        stack_name: "test".into(),
        sqs_endpoint: "http://127.0.0.1:9".into(),
        parameters: BTreeMap::new(),
    }
}

fn read(text: &str) -> Result<Pipeline, Error> {
    parse(text, "t.yaml", &context())
}

/// What `text` is refused with, one line each.
fn refused(text: &str) -> String {
    read(text).expect_err("it is refused").to_string()
}

const FULL: &str = r#"
Parameters:
  Mode: {Type: String, Default: PROVISIONED, AllowedValues: [PROVISIONED, ON_DEMAND]}
  Size: {Type: Number, Default: 500, MinValue: 1, MaxValue: 10000}
Conditions:
  Provisioned: !Equals [!Ref Mode, PROVISIONED]
  OnDemand: !Not [!Condition Provisioned]
Mappings:
  Sizes: {small: {shards: 3}}
Globals:
  Function:
    Runtime: provided.al2023
    Timeout: 30
    Environment: {Variables: {SHARED: !Ref Events, OVER: global}}
Resources:
  Api: {Type: AWS::Serverless::HttpApi}
  Events:
    Type: AWS::Kinesis::Stream
    DeletionPolicy: Retain
    Properties:
      ShardCount: !If [Provisioned, !FindInMap [Sizes, small, shards], !Ref AWS::NoValue]
      StreamModeDetails: {StreamMode: !Ref Mode}
      RetentionPeriodHours: 48
  Only: {Type: AWS::Kinesis::Stream, Condition: OnDemand}
  Work: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}}}
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "${AWS::StackName}-dead", VisibilityTimeout: 60}}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: sk, AttributeType: N}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
      TimeToLiveSpecification: {AttributeName: ttl, Enabled: true}
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}
  Board: {Type: AWS::CloudWatch::Dashboard}
  Reader:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: reader-bin}}
    Properties:
      CodeUri: functions/reader/
      Role: !GetAtt Role.Arn
      ReservedConcurrentExecutions: 4
      Environment:
        Variables:
          OVER: own
          QUEUE: !Ref Dead
          JOINED: !Join [",", [a, !Select [1, !Split ["-", x-y]]]]
          LITERAL: !Sub ["${!kept} ${name}", {name: !Ref Size}]
      Events:
        Post: {Type: HttpApi, Properties: {Method: post, Path: /x, ApiId: !Ref Api}}
        Stream:
          Type: Kinesis
          Properties:
            Stream: !GetAtt Events.Arn
            StartingPosition: LATEST
            BatchSize: !Ref Size
            MaximumRetryAttempts: -1
            MaximumRecordAgeInSeconds: 3600
            FunctionResponseTypes: [ReportBatchItemFailures]
            BisectBatchOnFunctionError: true
            DestinationConfig: {OnFailure: {Destination: !GetAtt Dead.Arn}}
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Work.Arn}}
Outputs:
  Url: {Value: !Ref Dead}
"#;

#[test]
fn everything_that_is_supported_is_resolved() {
    let pipeline = read(FULL).unwrap();
    let stream = &pipeline.streams[0];
    assert_eq!((stream.name.as_str(), stream.shards, stream.retention.as_secs()), ("test-Events", 3, 48 * 3600));
    assert_eq!(pipeline.streams.len(), 1, "a resource whose condition does not hold is not there");
    let queues: Vec<_> = pipeline.queues.iter().map(|queue| queue.logical_id.as_str()).collect();
    assert_eq!(queues, ["Dead", "Work"], "a dead-letter queue comes first");
    assert_eq!(pipeline.queues[0].url, "http://127.0.0.1:9/000000000000/test-dead");
    assert_eq!(pipeline.queues[1].redrive, Some(("arn:aws:sqs:us-east-1:000000000000:test-dead".into(), 3)));
    let table = &pipeline.tables[0];
    assert_eq!((table.hash_key.name.as_str(), table.ttl_attribute.as_deref()), ("pk", Some("ttl")));
    assert_eq!(table.range_key.as_ref().map(|key| key.kind.as_str()), Some("N"));
    let function = &pipeline.functions[0];
    assert_eq!((function.binary.as_str(), function.timeout), ("reader-bin", Duration::from_secs(30)));
    assert_eq!((function.memory_mb, function.reserved_concurrency), (128, Some(4)));
    let variables: Vec<_> = function.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        variables,
        [
            ("JOINED", "a,y"),
            ("LITERAL", "${kept} 500"),
            ("OVER", "own"),
            ("QUEUE", "http://127.0.0.1:9/000000000000/test-dead"),
            ("SHARED", "test-Events"),
        ]
    );
    assert_eq!((pipeline.routes[0].method.as_str(), pipeline.routes[0].path.as_str()), ("POST", "/x"));
    let mapping = &pipeline.kinesis_mappings[0];
    assert_eq!((mapping.logical_id.as_str(), mapping.stream.as_str()), ("ReaderStream", "Events"));
    assert_eq!((mapping.start, mapping.batch_size, mapping.max_retries), (Start::Latest, 500, None));
    assert_eq!(mapping.max_record_age, Some(Duration::from_secs(3600)));
    assert!(mapping.report_batch_item_failures && mapping.bisect_on_error && mapping.on_failure.is_some());
    assert_eq!((pipeline.sqs_mappings[0].queue.as_str(), pipeline.sqs_mappings[0].batch_size), ("Work", 10));
    assert_eq!(pipeline.outputs["Url"], pipeline.queues[0].url);
    assert!(
        pipeline.warnings.contains(
            &"1 resource of type AWS::CloudWatch::Dashboard is not evaluated on this machine: Board".to_owned()
        )
    );
    assert!(pipeline.warnings.iter().any(|warning| warning.contains("permissions")));
}

#[test]
fn a_consumer_with_fan_out_stands_for_its_stream() {
    let fanned = FULL.replacen("Resources:\n", "Resources:\n  Fan: {Type: AWS::Kinesis::StreamConsumer, Properties: {ConsumerName: c, StreamARN: !GetAtt Events.Arn}}\n", 1);
    let fanned = fanned.replace("Stream: !GetAtt Events.Arn", "Stream: !Ref Fan");
    let pipeline = read(&fanned).unwrap();
    assert_eq!(pipeline.kinesis_mappings[0].stream, "Events");
    assert!(pipeline.warnings.iter().any(|warning| warning.contains("AWS::Kinesis::StreamConsumer")));
    let error = refused(&fanned.replace("StreamARN: !GetAtt Events.Arn", "StreamARN: !GetAtt Dead.Arn"));
    assert!(error.contains("Fan.StreamARN") && error.contains("the ARN of no stream"), "{error}");
}

#[test]
fn a_parameter_that_is_set_takes_effect_and_one_that_is_unknown_is_refused() {
    let mut context = context();
    context.parameters.insert("Mode".into(), "ON_DEMAND".into());
    let pipeline = parse(FULL, "t.yaml", &context).unwrap();
    assert_eq!((pipeline.streams.len(), pipeline.streams[0].shards), (2, 4));
    context.parameters.insert("Moed".into(), "x".into());
    context.parameters.insert("Size".into(), "0".into());
    let error = parse(FULL, "t.yaml", &context).unwrap_err().to_string();
    assert!(error.contains("there is no parameter `Moed` to set (did you mean `Mode`?)"), "{error}");
    assert!(error.contains("Parameters.Size: is 0; it must be between 1 and 10000"), "{error}");
}

#[test]
fn every_problem_is_told_at_once_in_the_order_of_the_lines() {
    let error = refused(
        &FULL.replace("Timeout: 30", "Timeout: 0").replace("RetentionPeriodHours: 48", "RetentionPeriodHours: 0"),
    );
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].contains("Timeout") && lines[1].contains("RetentionPeriodHours"), "{error}");
}

#[test]
fn the_template_of_this_project_is_honoured_whole() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let pipeline = read_file(&file, &context()).unwrap();
    assert_eq!((pipeline.streams.len(), pipeline.functions.len(), pipeline.kinesis_mappings.len()), (1, 4, 2));
    let expected = [
        "permissions and log groups are not enforced on this machine",
        "1 resource of type AWS::CloudWatch::Dashboard is not evaluated on this machine: Dashboard",
        "HttpApi: `DefaultRouteSettings` has no effect on this machine",
    ];
    assert_eq!(pipeline.warnings, expected);
    assert_eq!(pipeline.alarms.len(), 33);
}

#[test]
fn events_and_resources_keep_the_order_of_the_template() {
    let events = "{Z: {Type: HttpApi, Properties: {Method: GET, Path: /z}}, A: {Type: HttpApi, Properties: {Method: GET, Path: /a}}}";
    let function = |id: &str, events: &str| {
        format!(
            "{id}: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: f, Runtime: provided.al2023, Events: {events}}}}}"
        )
    };
    let pipeline = read(&format!("Resources: {{{}, {}}}", function("Y", events), function("B", "{}"))).unwrap();
    assert_eq!(pipeline.routes.iter().map(|route| route.path.as_str()).collect::<Vec<_>>(), ["/z", "/a"]);
    assert_eq!(pipeline.functions.iter().map(|one| one.logical_id.as_str()).collect::<Vec<_>>(), ["Y", "B"]);
}

#[test]
fn a_file_that_is_not_there_is_one_line() {
    let error = read_file(Path::new("nowhere.yaml"), &context()).unwrap_err().to_string();
    assert!(error.starts_with("nowhere.yaml: cannot be read: "), "{error}");
}

proptest! {
    #[test]
    fn no_template_panics(at in 0usize..FULL.len(), insert in "[!\\[\\]{}:\\n -A-Za-z]{0,8}", remove in 0usize..30) {
        let at = (at..FULL.len()).find(|i| FULL.is_char_boundary(*i)).unwrap_or(FULL.len());
        let end = (at + remove).min(FULL.len());
        let text = format!("{}{insert}{}", &FULL[..at], &FULL[end..]);
        let _ = read(&text);
    }
    /// No mistake in a name passes: what is broken is always told of.
    #[test]
    fn no_name_of_nothing_is_taken(which in 0usize..40) {
        let names = FULL.match_indices("!Ref ").chain(FULL.match_indices("!GetAtt "));
        let names: Vec<_> = names.filter(|(at, tag)| !FULL[at + tag.len()..].starts_with("AWS::")).collect();
        let (at, tag) = names[which % names.len()];
        let at = at + tag.len();
        let text = format!("{}Zzz{}", &FULL[..at], &FULL[at..]);
        prop_assert!(refused(&text).contains("there is no "));
    }
}
