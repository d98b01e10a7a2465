"""Faults to plant in the expanded template, each with the rule that has to notice it."""

import json


def props(template, name):
    """The properties of a resource."""
    return template["Resources"][name]["Properties"]


def env(template, name):
    """The environment of a function."""
    return props(template, name)["Environment"]["Variables"]


def statements(template, owner):
    """The statements of a role's inline policy or of a managed policy."""
    properties = props(template, owner)
    policy = properties["Policies"][0] if "Policies" in properties else properties
    return policy["PolicyDocument"]["Statement"]


def statement(template, owner, n):
    """Statement `n` of a role's inline policy or of a managed policy."""
    return statements(template, owner)[n]


def allowed_in(template, queue):
    """The statement of a queue's policy by which another role may send to it."""
    return props(template, f"{queue}Policy")["PolicyDocument"]["Statement"][1]


def told(template, output, **changes):
    """Has the output of a group say something else."""
    value = template["Outputs"][output]["Value"]
    value["Fn::Sub"] = json.dumps(json.loads(value["Fn::Sub"]) | changes)


# The rule that has to notice, what is wrong, and how to plant it.
FAULTS = [
    (
        "one_run_a_shard_at_a_time",
        "a factor of 2",
        lambda t: props(t, "OrderStatusStream").update(ParallelizationFactor=2),
    ),
    ("one_run_a_shard_at_a_time", "no factor", lambda t: props(t, "OrderAlertsStream").pop("ParallelizationFactor")),
    (
        "groups_share_a_shard_or_fan_out",
        "a group that polls",
        lambda t: props(t, "OrderAlertsStream").update(EventSourceArn={"Fn::GetAtt": ["Events", "Arn"]}),
    ),
    (
        "groups_share_a_shard_or_fan_out",
        "the consumer of another group",
        lambda t: props(t, "OrderAlertsStream").update(
            EventSourceArn={"Fn::If": ["FannedOut", {"Ref": "OrderStatusFanOut"}, {"Fn::GetAtt": ["Events", "Arn"]}]}
            if "Conditions" in t
            else {"Ref": "OrderStatusFanOut"}
        ),
    ),
    (
        "groups_share_a_shard_or_fan_out",
        "the name of another group",
        lambda t: props(t, "OrderAlertsFanOut").update(ConsumerName="order-status"),
    ),
    (
        "groups_share_a_shard_or_fan_out",
        "a consumer of no stream",
        lambda t: props(t, "OrderAlertsFanOut").update(StreamARN={"Fn::GetAtt": ["Alerts", "Arn"]}),
    ),
    ("groups_share_a_shard_or_fan_out", "a role that may not", lambda t: statements(t, "OrderAlertsRole").pop()),
    (
        "failures_are_reported_by_record",
        "not reported",
        lambda t: props(t, "OrderAlertsStream").pop("FunctionResponseTypes"),
    ),
    (
        "batches_stay_whole",
        "halved",
        lambda t: props(t, "OrderStatusStream").update(BisectBatchOnFunctionError=True),
    ),
    ("only_age_gives_up", "three attempts", lambda t: props(t, "OrderStatusStream").update(MaximumRetryAttempts=3)),
    ("only_age_gives_up", "no age", lambda t: props(t, "OrderStatusStream").pop("MaximumRecordAgeInSeconds")),
    ("only_age_gives_up", "age at retention", lambda t: t["Mappings"]["Retention"]["48"].update(GiveUpAfterSeconds=172_800)),
    ("only_age_gives_up", "an age that Lambda refuses", lambda t: t["Mappings"]["Retention"]["720"].update(GiveUpAfterSeconds=604_801)),
    ("only_age_gives_up", "a retention without an age", lambda t: t["Mappings"]["Retention"].pop("168")),
    ("only_age_gives_up", "any age instead", lambda t: t["Parameters"]["GiveUpAfterSeconds"].update(MaxValue=604_800)),
    (
        "only_age_gives_up",
        "an age that follows something else",
        lambda t: props(t, "OrderAlertsStream").update(MaximumRecordAgeInSeconds=604_800),
    ),
    ("giving_up_is_announced", "no destination", lambda t: props(t, "OrderAlertsStream").pop("DestinationConfig")),
    (
        "giving_up_is_announced",
        "a role that may not send",
        lambda t: statement(t, "ConsumerAccess", 1).update(Action="sqs:ReceiveMessage"),
    ),
    (
        "a_new_group_reads_from_the_start",
        "LATEST",
        lambda t: props(t, "OrderAlertsStream").update(StartingPosition="LATEST"),
    ),
    (
        "each_group_has_its_own_name_and_dead_letters",
        "a shared name",
        lambda t: [
            env(t, "OrderAlerts").update(PENSTOCK_GROUP="order-status"),
            told(t, "OrderAlertsGroup", group="order-status"),
            props(t, "OrderAlertsFanOut").update(ConsumerName="order-status"),
            props(t, "OrderAlertsRole").update(
                Policies=json.loads(json.dumps(props(t, "OrderAlertsRole")["Policies"]).replace("order-alerts/*", "order-status/*"))
            ),
        ],
    ),
    (
        "each_group_has_its_own_name_and_dead_letters",
        "another group's queue",
        lambda t: [
            env(t, "OrderAlerts").update(PENSTOCK_DEAD_LETTER_QUEUE_URL={"Ref": "OrderStatusDeadLetters"}),
            told(t, "OrderAlertsGroup", deadLetters="${OrderStatusDeadLetters}", redrive="${OrderStatusRedrive}"),
        ],
    ),
    (
        "each_group_has_its_own_name_and_dead_letters",
        "a role that may not send",
        lambda t: statement(t, "OrderStatusRole", 2).update(Resource={"Fn::GetAtt": ["Alerts", "Arn"]}),
    ),
    (
        "groups_are_given_all_they_read",
        "no progress table",
        lambda t: env(t, "OrderStatus").pop("PENSTOCK_PROGRESS_TABLE"),
    ),
    (
        "groups_are_given_all_they_read",
        "a guessable key",
        lambda t: env(t, "OrderStatus").update(PENSTOCK_FINGERPRINT_KEY="k"),
    ),
    ("windows_expire", "no TTL", lambda t: props(t, "Window").pop("TimeToLiveSpecification")),
    ("tables_can_be_restored", "no recovery", lambda t: props(t, "Progress").pop("PointInTimeRecoverySpecification")),
    ("data_is_encrypted", "a plain stream", lambda t: props(t, "Events").pop("StreamEncryption")),
    ("data_is_encrypted", "a plain table", lambda t: props(t, "OrderStatusState").pop("SSESpecification")),
    (
        "data_is_encrypted",
        "a plain queue",
        lambda t: [props(t, "Alerts").pop(name, None) for name in ("SqsManagedSseEnabled", "KmsMasterKeyId")],
    ),
    (
        "data_is_encrypted",
        "a queue with two keys",
        lambda t: props(t, "Alerts").update(SqsManagedSseEnabled=True, KmsMasterKeyId="alias/aws/sqs"),
    ),
    (
        "data_is_encrypted",
        "a stream with another key",
        lambda t: props(t, "Events")["StreamEncryption"].update(KeyId="alias/other"),
    ),
    (
        "data_is_encrypted",
        "a table with another key",
        lambda t: props(t, "Window")["SSESpecification"].update(SSEType="KMS", KMSMasterKeyId="alias/other"),
    ),
    ("roles_may_use_the_key", "one that may not", lambda t: statements(t, "IngestRole").pop()),
    ("roles_may_use_the_key", "groups that may not", lambda t: statements(t, "ConsumerAccess").pop()),
    (
        "roles_may_use_the_key",
        "more than it needs",
        lambda t: statements(t, "OrderStatusRole").append(
            {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "arn:aws:kms:us-east-1:000000000000:key/other"}
        ),
    ),
    ("functions_run_on_what_is_chosen", "one of its own", lambda t: props(t, "Recover").update(Architectures=["mips"])),
    ("data_outlives_the_stack", "a stream that goes", lambda t: t["Resources"]["Events"].pop("DeletionPolicy")),
    ("data_outlives_the_stack", "four days", lambda t: props(t, "GiveUps").pop("MessageRetentionPeriod")),
    ("queues_refuse_plain_http", "no policy", lambda t: t["Resources"].pop("OrderAlertsRedrivePolicy")),
    (
        "queues_refuse_plain_http",
        "of another queue",
        lambda t: props(t, "AlertsPolicy").update(Queues=[{"Ref": "GiveUps"}]),
    ),
    (
        "tables_can_refuse_to_be_deleted",
        "not this one",
        lambda t: props(t, "OrderStatusState").pop("DeletionProtectionEnabled"),
    ),
    (
        "queues_take_the_largest_letter",
        "whatever the default is",
        lambda t: props(t, "OrderAlertsDeadLetters").pop("MaximumMessageSize"),
    ),
    (
        "a_group_keeps_to_its_own_items",
        "everybody's progress",
        lambda t: statement(t, "OrderAlertsRole", 3).pop("Condition"),
    ),
    (
        "a_group_keeps_to_its_own_items",
        "another group's window",
        lambda t: statement(t, "OrderStatusRole", 4)["Condition"].update(
            {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["order-alerts/*"]}}
        ),
    ),
    ("policies_name_what_they_allow", "all resources", lambda t: statement(t, "IngestRole", 1).update(Resource="*")),
    (
        "policies_name_what_they_allow",
        "all actions",
        lambda t: statement(t, "OrderStatusRole", 6).update(Action="dynamodb:*"),
    ),
    (
        "policies_name_what_they_allow",
        "a wildcard inside a Sub",
        lambda t: statement(t, "IngestRole", 0).update(
            Resource={"Fn::Sub": "arn:${AWS::Partition}:logs:*:log-group:x"}
        ),
    ),
    (
        "policies_name_what_they_allow",
        "a managed policy of AWS",
        lambda t: props(t, "OrderAlertsRole")["ManagedPolicyArns"].append(
            "arn:aws:iam::aws:policy/service-role/AWSLambdaKinesisExecutionRole"
        ),
    ),
    (
        "dead_letters_can_be_sent_back",
        "no redrive target",
        lambda t: props(t, "OrderStatusRedrive").pop("RedrivePolicy"),
    ),
    (
        "dead_letters_can_be_sent_back",
        "not reported by message",
        lambda t: props(t, "OrderAlertsSentBack").pop("FunctionResponseTypes"),
    ),
    (
        "dead_letters_can_be_sent_back",
        "visible too soon",
        lambda t: props(t, "OrderStatusRedrive").update(VisibilityTimeout=10),
    ),
    (
        "dead_letters_can_be_sent_back",
        "a role that may not receive",
        lambda t: statement(t, "OrderAlertsRole", 1).update(Action="sqs:DeleteMessage"),
    ),
    ("what_is_given_up_is_recovered", "nobody reads", lambda t: t["Resources"].pop("RecoverNotices")),
    ("what_is_given_up_is_recovered", "of no stack", lambda t: env(t, "Recover").pop("PENSTOCK_STACK")),
    (
        "what_is_given_up_is_recovered",
        "of a stack by its name",
        lambda t: env(t, "Recover").update(PENSTOCK_STACK={"Ref": "AWS::StackName"}),
    ),
    (
        "what_is_given_up_is_recovered",
        "a role that may not read the outputs",
        lambda t: statement(t, "RecoverRole", 5).update(Action="cloudformation:ListStacks"),
    ),
    (
        "what_is_given_up_is_recovered",
        "a role that may read those of another stack",
        lambda t: statement(t, "RecoverRole", 5).update(
            Resource="arn:aws:cloudformation:us-east-1:000000000000:stack/other/00000000-0000-0000-0000-000000000000"
        ),
    ),
    (
        "policies_name_what_they_allow",
        "a role that may read those of every stack",
        lambda t: statement(t, "RecoverRole", 5).update(Resource=[{"Ref": "AWS::StackId"}, "*"]),
    ),
    (
        "what_is_given_up_is_recovered",
        "dead letters that do not let it in",
        lambda t: props(t, "OrderStatusDeadLettersPolicy")["PolicyDocument"]["Statement"].pop(),
    ),
    (
        "what_is_given_up_is_recovered",
        "dead letters that let in somebody else",
        lambda t: allowed_in(t, "OrderAlertsDeadLetters").update(Principal={"AWS": {"Fn::GetAtt": ["IngestRole", "Arn"]}}),
    ),
    ("outputs_tell_where_the_rest_is", "no stream", lambda t: t["Outputs"].pop("StreamName")),
    (
        "outputs_tell_where_the_rest_is",
        "one table for the other",
        lambda t: t["Outputs"]["ProgressTable"].update(t["Outputs"]["WindowTable"]),
    ),
    (
        "outputs_tell_where_the_rest_is",
        "one queue for the other",
        lambda t: t["Outputs"]["GiveUpsQueueUrl"].update(Value={"Ref": "FailedGiveUps"}),
    ),
    ("outputs_tell_of_every_group", "no version", lambda t: t["Outputs"].pop("FormatVersion")),
    ("outputs_tell_of_every_group", "a group without one", lambda t: t["Outputs"].pop("OrderAlertsGroup")),
    (
        "outputs_tell_of_every_group",
        "no JSON",
        lambda t: t["Outputs"]["OrderAlertsGroup"].update(Value={"Fn::Sub": "{group: order-alerts}"}),
    ),
    ("outputs_tell_of_every_group", "another group", lambda t: told(t, "OrderAlertsGroup", group="order-status")),
    ("outputs_tell_of_every_group", "another function", lambda t: told(t, "OrderAlertsGroup", function="${OrderStatus}")),
    ("outputs_tell_of_every_group", "another queue", lambda t: told(t, "OrderStatusGroup", deadLetters="${GiveUps}")),
    ("outputs_tell_of_every_group", "another way back", lambda t: told(t, "OrderStatusGroup", redrive="${OrderAlertsRedrive}")),
    ("outputs_tell_of_every_group", "other states", lambda t: told(t, "OrderStatusGroup", states="${Progress}")),
    ("outputs_tell_of_every_group", "states of a handler", lambda t: told(t, "OrderAlertsGroup", states="${OrderStatusState}")),
    (
        "outputs_tell_of_every_group",
        "a group that is not there",
        lambda t: t["Outputs"].update(OrderReceiptsGroup=t["Outputs"]["OrderAlertsGroup"]),
    ),
    (
        "queues_let_in_one_role_at_a_time",
        "everybody",
        lambda t: props(t, "AlertsPolicy")["PolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": {"Fn::GetAtt": ["Alerts", "Arn"]}}
        ),
    ),
    (
        "queues_let_in_one_role_at_a_time",
        "to do more",
        lambda t: props(t, "AlertsPolicy")["PolicyDocument"]["Statement"].append(
            {
                "Effect": "Allow",
                "Principal": {"AWS": {"Fn::GetAtt": ["IngestRole", "Arn"]}},
                "Action": "sqs:PurgeQueue",
                "Resource": {"Fn::GetAtt": ["Alerts", "Arn"]},
            }
        ),
    ),
    (
        "what_is_given_up_is_recovered",
        "a role that may not keep a cursor",
        lambda t: statement(t, "RecoverRole", 4).update(Action=["dynamodb:Query", "dynamodb:GetItem"]),
    ),
    ("notices_that_fail_are_kept_and_told", "no dead-letter queue", lambda t: props(t, "GiveUps").pop("RedrivePolicy")),
    (
        "notices_that_fail_are_kept_and_told",
        "given up within hours",
        lambda t: props(t, "GiveUps")["RedrivePolicy"].update(maxReceiveCount=5),
    ),
    (
        "notices_that_fail_are_kept_and_told",
        "deleted before they are moved",
        lambda t: props(t, "GiveUps")["RedrivePolicy"].update(maxReceiveCount=1000),
    ),
    ("notices_that_fail_are_kept_and_told", "no alarm", lambda t: t["Resources"].pop("FailedGiveUpsAlarm")),
    (
        "notices_that_fail_are_kept_and_told",
        "an alarm on another queue",
        lambda t: props(t, "FailedGiveUpsAlarm")["Dimensions"][0].update(Value={"Fn::GetAtt": ["GiveUps", "QueueName"]}),
    ),
    (
        "notices_that_fail_are_kept_and_told",
        "an alarm at ten",
        lambda t: props(t, "FailedGiveUpsAlarm").update(Threshold=10),
    ),
    ("the_edge_answers_before_the_api_gives_up", "the time of the API", lambda t: props(t, "Ingest").update(Timeout=30)),
    (
        "the_edge_is_bounded",
        "no limit of requests",
        lambda t: props(t, "HttpApiApiGatewayDefaultStage").pop("DefaultRouteSettings"),
    ),
    ("the_edge_is_bounded", "no log", lambda t: props(t, "HttpApiApiGatewayDefaultStage").pop("AccessLogSettings")),
    ("the_edge_is_bounded", "no limit of functions", lambda t: props(t, "Ingest").pop("ReservedConcurrentExecutions")),
    ("the_edge_is_bounded", "patient for half a minute", lambda t: t["Parameters"]["PutSeconds"].update(Default=28)),
    ("the_edge_reads_published_schemas", "no table", lambda t: env(t, "Ingest").pop("PENSTOCK_SCHEMAS_TABLE")),
    (
        "the_edge_reads_published_schemas",
        "a table without such items",
        lambda t: env(t, "Ingest").update(PENSTOCK_SCHEMAS_TABLE={"Ref": "Window"}),
    ),
    ("the_edge_reads_published_schemas", "no right to it", lambda t: statements(t, "IngestRole").pop(2)),
    (
        "the_edge_reads_published_schemas",
        "a right to write it",
        lambda t: statement(t, "IngestRole", 2)["Action"].append("dynamodb:PutItem"),
    ),
    (
        "the_edge_reads_published_schemas",
        "schemas that expire",
        lambda t: props(t, "Schemas").update(TimeToLiveSpecification={"AttributeName": "expires_at", "Enabled": True}),
    ),
    ("the_edge_reads_published_schemas", "nobody finds it", lambda t: t["Outputs"].pop("SchemasTable")),
    (
        "metrics_of_two_stacks_stay_apart",
        "one namespace for all",
        lambda t: env(t, "Recover").update(PENSTOCK_METRICS_NAMESPACE="Penstock"),
    ),
    ("every_group_tells_its_lag", "no IteratorAge", lambda t: t["Resources"].pop("OrderAlertsIteratorAgeAlarm")),
    ("every_group_tells_its_lag", "no lag of our own", lambda t: t["Resources"].pop("OrderStatusLagAlarm")),
    (
        "every_group_tells_its_lag",
        "the lag of another group",
        lambda t: props(t, "OrderStatusLagAlarm")["Dimensions"][0].update(Value="order-alerts"),
    ),
    (
        "every_group_tells_its_lag",
        "an average, in which one shard is lost",
        lambda t: props(t, "OrderStatusIteratorAgeAlarm").update(Statistic="Average"),
    ),
    ("every_function_is_watched", "no errors", lambda t: t["Resources"].pop("IngestErrorsAlarm")),
    ("every_function_is_watched", "no throttles", lambda t: t["Resources"].pop("RecoverThrottlesAlarm")),
    ("every_function_is_watched", "past the time-out", lambda t: props(t, "OrderStatusDurationAlarm").update(Threshold=60_000)),
    ("every_function_is_watched", "another time-out", lambda t: props(t, "Recover").update(Timeout=900)),
    ("failing_requests_are_told", "no alarm", lambda t: t["Resources"].pop("ProduceErrorsAlarm")),
    (
        "failing_requests_are_told",
        "not silent",
        lambda t: props(t, "ProduceErrorsAlarm")["Metrics"][0].update(Expression="100 * failed / requests"),
    ),
    ("failing_requests_are_told", "few may all fail", lambda t: t["Resources"].pop("ProduceOutageAlarm")),
    ("dead_letters_are_told", "no alarm", lambda t: t["Resources"].pop("OrderAlertsDeadLettersAlarm")),
    ("dead_letters_are_told", "an alarm at ten", lambda t: props(t, "OrderStatusDeadLettersAlarm").update(Threshold=10)),
    ("stuck_redrives_are_told", "no alarm", lambda t: t["Resources"].pop("OrderStatusRedriveAgeAlarm")),
    ("what_is_given_up_is_told", "no alarm", lambda t: t["Resources"].pop("GiveUpsAlarm")),
    (
        "what_is_given_up_is_told",
        "blind while a notice is hidden",
        lambda t: props(t, "GiveUpsAlarm")["Metrics"].pop(),
    ),
    ("throttling_is_told", "no alarm on the stream", lambda t: t["Resources"].pop("EventsWriteThrottledAlarm")),
    ("throttling_is_told", "no alarm on a table", lambda t: t["Resources"].pop("WindowWritesThrottledAlarm")),
    (
        "alarms_are_silent_while_nothing_happens",
        "missing data rings",
        lambda t: props(t, "OrderStatusLagAlarm").update(TreatMissingData="breaching"),
    ),
    (
        "alarms_are_silent_while_nothing_happens",
        "missing data is not said",
        lambda t: props(t, "IngestErrorsAlarm").pop("TreatMissingData"),
    ),
    ("alarms_reach_whoever_is_named", "no topic", lambda t: props(t, "GiveUpsAlarm").pop("AlarmActions")),
    ("alarms_reach_whoever_is_named", "no end", lambda t: props(t, "OrderStatusLagAlarm").pop("OKActions")),
    (
        "alarms_say_what_to_do",
        "no first step",
        lambda t: props(t, "GiveUpsAlarm").update(AlarmDescription="Given up. docs/runbook/give-ups.md"),
    ),
    (
        "alarms_say_what_to_do",
        "a page that is not there",
        lambda t: props(t, "OrderStatusLagAlarm").update(AlarmDescription="Late. First: look. docs/runbook/late.md"),
    ),
    ("the_dashboard_has_three_rows", "none", lambda t: t["Resources"].pop("Dashboard")),
    (
        "the_dashboard_has_three_rows",
        "no JSON",
        lambda t: props(t, "Dashboard").update(DashboardBody={"Fn::Sub": '{"widgets": [}'}),
    ),
]
