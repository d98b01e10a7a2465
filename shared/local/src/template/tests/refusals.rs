//! What each rule refuses, and how it is said.

use super::*;

/// A change to the full template, and what it is refused with.
#[test]
fn each_mistake_is_named_with_its_place_and_the_way_to_mend_it() {
    for (from, to, expected) in [
        (
            "BatchSize: !Ref Size",
            "BatchSise: 1",
            "Reader.Events.Stream.Properties.BatchSise: is no property that is known here (did you mean `BatchSize`?)",
        ),
        ("BatchSize: !Ref Size", "BatchSize: 10001", "BatchSize: is `10001`; AWS takes a number from 1 to 10000"),
        ("BatchSize: !Ref Size", "ParallelizationFactor: 2", "ParallelizationFactor: must be 1"),
        ("MaximumRecordAgeInSeconds: 3600", "MaximumRecordAgeInSeconds: 59", "AWS takes -1 or 60 to 604800"),
        ("StartingPosition: LATEST", "StartingPosition: NOW", "starts at TRIM_HORIZON or LATEST"),
        (
            "Stream: !GetAtt Events.Arn",
            "Stream: !GetAtt Evnts.Arn",
            "there is no resource `Evnts` (did you mean `Events`?)",
        ),
        ("Stream: !GetAtt Events.Arn", "Stream: arn:aws:x", "is the ARN of no stream of this template"),
        ("[ReportBatchItemFailures]", "[ReportBatchItemFailure]", "AWS takes ReportBatchItemFailures"),
        (
            "QUEUE: !Ref Dead",
            "QUEUE: !GetAtt Dead.Arm",
            "`Dead` has no attribute `Arm` on this machine (did you mean `Arn`?)",
        ),
        ("Timeout: 30", "Timeout: 901", "Timeout: is `901`; AWS takes a number from 1 to 900"),
        ("Timeout: 30", "Tiemout: 30", "did you mean `Timeout`?"),
        ("Runtime: provided.al2023", "Runtime: python3.13", "this machine runs provided.al2023 binaries"),
        ("RetentionPeriodHours: 48", "RetentionPeriodHours: 1", "AWS takes a number from 24 to 8760"),
        ("QueueName: !Sub \"${AWS::StackName}-dead\"", "FifoQueue: true", "FIFO queues cannot be run"),
        ("!If [Provisioned,", "!If [Provisoned,", "there is no condition `Provisoned` (did you mean `Provisioned`?)"),
        ("!Not [!Condition Provisioned]", "!Not [!Condition OnDemand]", "the condition `OnDemand` refers to itself"),
        (
            "Type: AWS::DynamoDB::Table",
            "Type: AWS::DynamoDB::GlobalTable",
            "`AWS::DynamoDB::GlobalTable` cannot be run on this machine",
        ),
        ("Default: 500", "Default: many", "Parameters.Size: is `many`; it must be a number"),
        ("Resources:", "Resource:", "there is no section `Resources`"),
        ("KeyType: HASH", "KeyType: HASHED", "AWS takes HASH or RANGE"),
        ("Type: SQS,", "Type: SNS,", "this machine has events of type HttpApi, Kinesis and SQS"),
    ] {
        assert!(FULL.contains(from), "{from}");
        let error = refused(&FULL.replacen(from, to, 1));
        assert!(error.contains(expected), "{to}: {error}");
        assert!(error.lines().all(|line| line.starts_with("t.yaml:")), "{error}");
    }
}

/// A template with a stream, a queue, a table and a function, and `more` below its resources.
fn with(more: &str) -> String {
    format!("{SMALL}{more}\n")
}

const SMALL: &str = "
Resources:
  S: {Type: AWS::Kinesis::Stream, Properties: {Name: stream}}
  Q: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: 60}}
  D: {Type: AWS::SQS::Queue}
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
  F: {Type: AWS::Serverless::Function, Properties: {CodeUri: a/f, Runtime: provided.al2023}}
";

/// Wraps settings into a mapping of the stream, and of the queue.
fn stream_mapping(settings: &str) -> String {
    with(&format!(
        "  M: {{Type: AWS::Lambda::EventSourceMapping, Properties: {{EventSourceArn: !GetAtt S.Arn, FunctionName: !Ref F, \
         StartingPosition: LATEST, {settings}}}}}"
    ))
}

fn queue_mapping(settings: &str) -> String {
    with(&format!(
        "  M: {{Type: AWS::Lambda::EventSourceMapping, Properties: {{EventSourceArn: !GetAtt Q.Arn, FunctionName: !Ref F, \
         {settings}}}}}"
    ))
}

#[test]
fn each_bound_of_a_stream_mapping_is_awss_own() {
    for good in [
        "BatchSize: 1",
        "BatchSize: 10000",
        "MaximumBatchingWindowInSeconds: 300",
        "MaximumRetryAttempts: -1",
        "MaximumRetryAttempts: 10000",
        "MaximumRecordAgeInSeconds: -1",
        "MaximumRecordAgeInSeconds: 60",
        "MaximumRecordAgeInSeconds: 604800",
        "ParallelizationFactor: 1",
        "DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Q.Arn}}",
    ] {
        assert_eq!(read(&stream_mapping(good)).expect(good).kinesis_mappings.len(), 1);
    }
    for (bad, expected) in [
        ("BatchSize: 0", "M.BatchSize: is `0`; AWS takes a number from 1 to 10000"),
        ("BatchSize: 10001", "M.BatchSize: is `10001`"),
        ("MaximumBatchingWindowInSeconds: 301", "AWS takes a number from 0 to 300"),
        ("MaximumRetryAttempts: -2", "AWS takes a number from -1 to 10000"),
        ("MaximumRetryAttempts: 10001", "AWS takes a number from -1 to 10000"),
        ("MaximumRecordAgeInSeconds: 59", "is 59; AWS takes -1 or 60 to 604800"),
        ("MaximumRecordAgeInSeconds: 604801", "AWS takes a number from -1 to 604800"),
        ("ParallelizationFactor: 2", "M.ParallelizationFactor: must be 1: a group keeps one position a shard"),
        ("ParallelizationFactor: 11", "AWS takes a number from 1 to 10"),
        ("StartingPositionTimestamp: 1, BatchSise: 1", "did you mean `BatchSize`?"),
        ("DestinationConfig: {OnFailure: {Destination: !GetAtt S.Arn}}", "is the ARN of no queue"),
        ("DestinationConfig: {OnFailure: {Destination: arn:aws:sns:x:y:z}}", "tells SQS queues of this template only"),
        ("DestinationConfig: {OnFailure: {Type: SQS}}", "M.DestinationConfig.OnFailure.Destination: is missing"),
    ] {
        let error = refused(&stream_mapping(bad));
        assert!(error.contains(expected), "{bad}: {error}");
        assert!(error.starts_with("t.yaml:12: M"), "{error}");
    }
}

#[test]
fn a_queue_mapping_takes_more_than_ten_only_with_a_window() {
    let pipeline = read(&queue_mapping("BatchSize: 10000, MaximumBatchingWindowInSeconds: 1")).unwrap();
    assert_eq!(pipeline.sqs_mappings[0].batch_size, 10_000);
    assert!(pipeline.warnings[0].contains("at most 10 messages"), "{:?}", pipeline.warnings);
    assert!(refused(&queue_mapping("BatchSize: 11")).contains("M.BatchSize: is 11; above 10 AWS takes it only with"));
    assert!(refused(&queue_mapping("BatchSize: 0")).contains("from 1 to 10000"));
    assert!(refused(&queue_mapping("MaximumRetryAttempts: 1")).contains("no property that is known here"));
}

#[test]
fn a_mapping_that_is_disabled_is_not_polled() {
    for text in [stream_mapping("Enabled: false"), queue_mapping("Enabled: false")] {
        let pipeline = read(&text).unwrap();
        assert_eq!((pipeline.kinesis_mappings.len(), pipeline.sqs_mappings.len()), (0, 0));
        assert_eq!(pipeline.warnings, ["M: `Enabled` is false: nothing is read"]);
    }
}

#[test]
fn a_mapping_reads_a_stream_or_a_queue_and_invokes_a_function() {
    let table = stream_mapping("Enabled: true").replace("!Ref F,", "!Ref T,");
    assert!(refused(&table).contains("M.FunctionName: is `test-T`, which is no function of this template"));
    let no_source = stream_mapping("Enabled: true").replace("!GetAtt S.Arn", "!GetAtt T.Arn");
    assert!(refused(&no_source).contains("is the ARN of no stream or queue of this template"));
    let by_arn = stream_mapping("Enabled: true").replace("!Ref F,", "!GetAtt F.Arn,");
    assert_eq!(read(&by_arn).unwrap().kinesis_mappings[0].function, "F");
}

/// A change to the small template, and what it is refused with.
#[test]
fn each_rule_of_a_resource_is_held() {
    let queue = "VisibilityTimeout: 60";
    let function = "CodeUri: a/f";
    let stream = "Name: stream";
    for (from, to, expected) in [
        (stream, "ShardCount: 0", "AWS takes a number from 1 to 500"),
        (stream, "ShardCount: 501", "AWS takes a number from 1 to 500"),
        (stream, "StreamModeDetails: {StreamMode: ON_DEMAND}, ShardCount: 2", "AWS refuses for an ON_DEMAND stream"),
        (stream, "StreamModeDetails: {StreamMode: ONDEMAND}", "did you mean `ON_DEMAND`?"),
        (stream, "Name: a b", "S.Name: is `a b`; AWS takes 1 to 128 letters, digits and _.-"),
        (queue, "VisibilityTimeout: 43201", "from 0 to 43200"),
        (queue, "MessageRetentionPeriod: 59", "from 60 to 1209600"),
        (queue, "ReceiveMessageWaitTimeSeconds: 21", "from 0 to 20"),
        (queue, "FifoQueue: True", "Q.FifoQueue: FIFO queues cannot be run"),
        (queue, "QueueName: x.fifo", "which only the names of FIFO queues have"),
        (queue, "QueueName: test-D", "D: has the name `test-D`, as Q has"),
        (queue, "RedrivePolicy: {deadLetterTargetArn: !GetAtt D.Arn}", "Q.RedrivePolicy.maxReceiveCount: is missing"),
        (queue, "RedrivePolicy: {deadLetterTargetArn: !GetAtt D.Arn, maxReceiveCount: 0}", "from 1 to 1000"),
        (queue, "RedrivePolicy: {deadLetterTargetArn: !GetAtt Q.Arn, maxReceiveCount: 1}", "is the queue itself"),
        (queue, "RedrivePolicy: {deadLetterTargetArn: arn:x, maxReceiveCount: 1}", "the ARN of no queue"),
        (queue, "FifoQueue: yes please", "it must be true or false"),
        ("AttributeType: S", "AttributeType: X", "is `X`; AWS takes S or N or B"),
        ("AttributeType: S}", "AttributeType: S}, {AttributeName: x, AttributeType: S}", "which is no key"),
        ("KeyType: HASH}", "KeyType: HASH}, {AttributName: pk, KeyType: RANGE}", "did you mean `AttributeName`?"),
        ("KeyType: HASH}", "KeyType: HASH}, {AttributeName: pk, KeyType: HASH}", "has two keys of type HASH"),
        ("{AttributeName: pk, KeyType: HASH}", "{AttributeName: qk, KeyType: HASH}", "names `qk`, which"),
        ("KeySchema:", "TimeToLiveSpecification: {Enabled: true}\n      KeySchema:", "AttributeName: is missing"),
        (function, "Timeout: 900", "F.CodeUri: is missing"),
        (function, "CodeUri: f, PackageType: Image", "runs binaries and no container images"),
        (function, "CodeUri: s3://bucket/key", "on this machine it must be a folder"),
        (function, "CodeUri: .", "set Metadata.BuildProperties.Binary"),
        (function, "CodeUri: f, InlineCode: x", "give the function a folder with `CodeUri`"),
        (function, "CodeUri: f, Timeout: 0", "from 1 to 900"),
        (function, "CodeUri: f, MemorySize: 127", "from 128 to 10240"),
        (function, "CodeUri: f, MemorySize: 10241", "from 128 to 10240"),
        (function, "CodeUri: f, Events: [x]", "F.Events: must be a mapping"),
        (function, "CodeUri: f, Environment: {Variables: {A: [b]}}", "F.Environment.Variables.A: must be text"),
        (function, "CodeUri: f, Environment: {Variable: {A: b}}", "did you mean `Variables`?"),
        (
            function,
            "CodeUri: f, Timeout: 61, Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}}",
            "less than the 61",
        ),
        (
            function,
            "CodeUri: f, Events: {E: {Type: HttpApi, Properties: {Method: GTE, Path: /}}}",
            "is `GTE`; it must be",
        ),
        (function, "CodeUri: f, Events: {E: {Type: HttpApi, Properties: {Method: GET, Path: x}}}", "begins with `/`"),
        (
            function,
            "CodeUri: f, Events: {E: {Type: HttpApi, Properties: {Method: GET, Path: /, ApiId: x}}}",
            "no HttpApi",
        ),
        (
            function,
            "CodeUri: f, Events: {E: {Type: HttpApi, Properties: {Method: get, Path: /}}, G: {Type: HttpApi, Properties: {Method: GET, Path: /}}}",
            "`GET /` is a route that is there already",
        ),
        (
            function,
            "CodeUri: f, Events: {E: {Type: Kinesis, Properties: {Stream: !GetAtt S.Arn}}}",
            "StartingPosition: is missing",
        ),
        ("  F: {Type", "  F_: {Type", "a logical id has 1 to 255 letters and digits"),
        ("  F: {Type", "  F: {Tpye: x, Type", "did you mean `Type`?"),
    ] {
        assert!(SMALL.contains(from), "{from}");
        let error = refused(&SMALL.replacen(from, to, 1));
        assert!(error.contains(expected), "{to}: {error}");
        assert!(error.lines().all(|line| line.starts_with("t.yaml:")), "{error}");
    }
}

#[test]
fn a_resource_of_another_type_is_refused_in_the_line_of_its_type() {
    let error = refused(&with("  L:\n    Properties: {}\n    Type: AWS::Lambda::Function"));
    assert!(error.starts_with("t.yaml:14: L: `AWS::Lambda::Function` cannot be run on this machine"), "{error}");
    assert!(error.contains("it runs AWS::Kinesis::Stream, AWS::DynamoDB::Table"), "{error}");
}

#[test]
fn what_has_no_effect_here_is_named_and_what_cannot_be_seen_is_not() {
    let text = SMALL.replace("VisibilityTimeout: 60", "Tags: [], KmsMasterKeyId: k, DelaySeconds: 5");
    let alarms =
        "  A: {Type: AWS::CloudWatch::Dashboard}\n  B: {Type: AWS::CloudWatch::Dashboard}\n  R: {Type: AWS::IAM::Role}";
    assert_eq!(
        read(&format!("{text}{alarms}\n")).unwrap().warnings,
        [
            "permissions and log groups are not enforced on this machine",
            "2 resources of type AWS::CloudWatch::Dashboard are not evaluated on this machine: A, B",
            "Q: `DelaySeconds` has no effect on this machine",
        ]
    );
}

#[test]
fn a_mistake_in_globals_is_told_once() {
    let functions = with("  G: {Type: AWS::Serverless::Function, Properties: {CodeUri: g, Runtime: provided.al2023}}");
    let error = refused(&format!("Globals:\n  Function: {{Timeout: 0, Tiemout: 1, Events: {{}}}}\n{functions}"));
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines.iter().all(|line| line.starts_with("t.yaml:2: ")), "{error}");
}
