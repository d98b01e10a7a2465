"""What the settle protocol and the operators rely on in the template, as rules over its expansion.

A rule yields one sentence for each resource that breaks it, and none when all is well. The rules look at every mapping,
table, queue and role there is, so they also hold for a consumer group that somebody adds. They do not repeat what
cfn-lint checks: that a property exists and its value is legal.
"""

import json

import watching
from stack import PARAMETERS, Stack, listed, target, variables

FOURTEEN_DAYS = 14 * 24 * 3600
# An HTTP API gives an integration 30 seconds at most.
API_TIMEOUT = 30
# A request that waits for a stream takes up a function.
PUT_SECONDS_MAX = 10
# Between the mapping's giving up and the stream's forgetting, somebody has to be able to read the records back.
RECOVERY_SECONDS = 3 * 3600
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
RECORD_AGE_MAX = 604_800

# An outage of a day leaves a notice where it is.
RETRIED_SECONDS_MIN = 24 * 3600
# What a recovery reads of what is settled, and keeps of how far it has come.
RECOVERY_ACTIONS = {
    "PENSTOCK_PROGRESS_TABLE": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
    "PENSTOCK_WINDOW_TABLE": ["dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem"],
}

# How the edge reads schemas.
SCHEMA_ACTIONS = ["dynamodb:GetItem", "dynamodb:BatchGetItem"]

# What Lambda does with a consumer of a stream.
FAN_OUT_ACTIONS = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"]

# What readers and writers of encrypted data do with its key.
KEY_ACTIONS = ["kms:Decrypt", "kms:GenerateDataKey"]

# What the stack's outputs are read as.
FORMAT_VERSION = "1"

# A first deployment that fails cleans up; CloudFormation takes that word for a deletion only.
RETAINED = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}

# What a letter of the largest event takes; the default has been another one in other years.
MESSAGE_BYTES = 1024 * 1024

GROUP_VARIABLES = [
    "PENSTOCK_STREAM",
    "PENSTOCK_PROGRESS_TABLE",
    "PENSTOCK_WINDOW_TABLE",
    "PENSTOCK_WINDOW_HORIZON_SECONDS",
    "PENSTOCK_DEAD_LETTER_QUEUE_URL",
    "PENSTOCK_FINGERPRINT_KEY",
]


def one_run_a_shard_at_a_time(stack):
    """A group keeps one position a shard; a second run beside the first would move it past unsettled events."""
    for name, mapping in stack.mappings():
        if mapping.get("ParallelizationFactor") != 1:
            yield f"{name}: ParallelizationFactor is {mapping.get('ParallelizationFactor')}, not 1"


def groups_share_a_shard_or_fan_out(stack):
    """With enhanced fan-out each group reads through a consumer of its own, and may; without, all read the stream itself."""
    consumers = dict(stack.of("AWS::Kinesis::StreamConsumer"))
    read_by = {}
    for name, mapping in stack.mappings():
        consumer = target(mapping["EventSourceArn"])
        if (consumer in consumers) != stack.chosen.fans_out:
            yield f"{name}: reads {consumer}"
        elif consumer in consumers:
            function = stack.resources[target(mapping["FunctionName"])]["Properties"]
            if read_by.setdefault(consumer, name) != name:
                yield f"{name}: reads through {consumer}, as {read_by[consumer]} does"
            if consumers[consumer]["ConsumerName"] != variables(function).get("PENSTOCK_GROUP"):
                yield f"{name}: reads through a consumer that is called {consumers[consumer]['ConsumerName']}"
            if stack.kind(consumers[consumer]["StreamARN"]) != "AWS::Kinesis::Stream":
                yield f"{consumer}: is of no stream"
            for action in FAN_OUT_ACTIONS:
                if not stack.may(function, action, consumer):
                    yield f"{name}: its function's role may not {action}"
    for consumer in consumers.keys() - read_by.keys():
        yield f"{consumer}: nobody reads through it, and it is paid for"


def failures_are_reported_by_record(stack):
    """The function's answer names the lowest record that is not settled."""
    for name, mapping in stack.mappings():
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name}: FunctionResponseTypes is {mapping.get('FunctionResponseTypes')}"


def batches_stay_whole(stack):
    """An outage is told from poison by the many keys that fail in it; a batch that is halved each time has one."""
    for name, mapping in stack.mappings():
        if mapping.get("BisectBatchOnFunctionError") is not False:
            yield f"{name}: BisectBatchOnFunctionError is not false"


def only_age_gives_up(stack):
    """An outage of any length below the record age discards nothing, and above it nothing is lost unread."""
    for name, mapping in stack.mappings():
        if mapping.get("MaximumRetryAttempts") != -1:
            yield f"{name}: MaximumRetryAttempts is {mapping.get('MaximumRetryAttempts')}, not -1"
        for retention, age in record_ages(stack, mapping.get("MaximumRecordAgeInSeconds", -1)):
            if not 0 < age <= min(retention * 3600 - RECOVERY_SECONDS, RECORD_AGE_MAX):
                yield f"{name}: a record age of {age} s is not three hours below a retention of {retention} h"


def record_ages(stack, given):
    """The age that a mapping can have at each retention that the stream can have: whatever may be chosen, the worst of it."""
    stated = [stream["RetentionPeriodHours"] for _, stream in stack.of("AWS::Kinesis::Stream")]
    for hours in stated:
        choice = stack.parameter(hours)
        for retention in choice["AllowedValues"] if choice else [hours]:
            if isinstance(given, dict) and "Fn::FindInMap" in given:
                table, row, column = given["Fn::FindInMap"]
                rows = stack.template["Mappings"][table]
                yield retention, rows.get(str(retention), {}).get(column, -1) if row == hours else -1
            else:
                parameter = stack.parameter(given)
                yield retention, parameter["MaxValue"] if parameter else given


def giving_up_is_announced(stack):
    """The mapping sends what it gave up to a queue, with the function's own role."""
    for name, mapping in stack.mappings():
        queue = mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        function = stack.resources[target(mapping["FunctionName"])]["Properties"]
        if stack.kind(queue) != "AWS::SQS::Queue":
            yield f"{name}: no queue learns what it gave up"
        elif not stack.may(function, "sqs:SendMessage", target(queue)):
            yield f"{name}: its function's role may not send to {target(queue)}"


def a_new_group_reads_from_the_start(stack):
    """With LATEST, events that arrive while the mapping is being made are never seen."""
    for name, mapping in stack.mappings():
        if mapping.get("StartingPosition") != "TRIM_HORIZON":
            yield f"{name}: StartingPosition is {mapping.get('StartingPosition')}"


def each_group_has_its_own_name_and_dead_letters(stack):
    """Two groups under one name would share a position; under one queue, a redrive would reach the wrong one."""
    names, queues = {}, {}
    for function, properties in stack.groups():
        env = variables(properties)
        queue = env.get("PENSTOCK_DEAD_LETTER_QUEUE_URL")
        if stack.kind(queue) != "AWS::SQS::Queue":
            yield f"{function}: has no dead-letter queue"
        elif not stack.may(properties, "sqs:SendMessage", target(queue)):
            yield f"{function}: may not send to its dead-letter queue {target(queue)}"
        for taken, key, what in [(names, env.get("PENSTOCK_GROUP"), "name"), (queues, target(queue), "queue")]:
            if key is None:
                yield f"{function}: has no {what}"
            elif taken.setdefault(key, function) != function:
                yield f"{function}: has the {what} of {taken[key]}: {key}"


def groups_are_given_all_they_read(stack):
    """The variables that shared/aws reads, and one key for the window's fingerprints that a redeployment keeps."""
    for function, properties in stack.groups():
        env = variables(properties)
        for name in GROUP_VARIABLES:
            if name not in env:
                yield f"{function}: {name} is not set"
        if env.get("PENSTOCK_FINGERPRINT_KEY", stack.chosen.fingerprint_key) != stack.chosen.fingerprint_key:
            yield f"{function}: PENSTOCK_FINGERPRINT_KEY is neither the parameter nor the stack's id"


def windows_expire(stack):
    """The window grows by every event; only TTL takes anything out."""
    for function, properties in stack.groups():
        window = target(variables(properties).get("PENSTOCK_WINDOW_TABLE"))
        table = stack.resources.get(window or "", {}).get("Properties", {})
        if table.get("TimeToLiveSpecification") != {"AttributeName": "expires_at", "Enabled": True}:
            yield f"{function}: the items of its window {window} do not expire by `expires_at`"


def tables_can_be_restored(stack):
    """Point-in-time recovery."""
    for name, table in stack.of("AWS::DynamoDB::Table"):
        if table.get("PointInTimeRecoverySpecification") != {"PointInTimeRecoveryEnabled": True}:
            yield f"{name}: no point-in-time recovery"


def data_is_encrypted(stack):
    """Stream, tables and queues, with the key that is named or with one that AWS manages, and each queue with one alone."""
    key = stack.chosen.key
    for name, stream in stack.of("AWS::Kinesis::Stream"):
        if stream.get("StreamEncryption") != {"EncryptionType": "KMS", "KeyId": key or "alias/aws/kinesis"}:
            yield f"{name}: not encrypted with {key or 'the key that AWS manages'}"
    wanted = {"SSEEnabled": True} | ({"SSEType": "KMS", "KMSMasterKeyId": key} if key else {})
    for name, table in stack.of("AWS::DynamoDB::Table"):
        if table.get("SSESpecification") != wanted:
            yield f"{name}: its encryption is not {wanted}"
    wanted = {"KmsMasterKeyId": key} if key else {"SqsManagedSseEnabled": True}
    for name, queue in stack.of("AWS::SQS::Queue"):
        if {part: queue[part] for part in ("KmsMasterKeyId", "SqsManagedSseEnabled") if part in queue} != wanted:
            yield f"{name}: its encryption is not {wanted}"


def roles_may_use_the_key(stack):
    """With a key of one's own every function reads and writes what it encrypts, and without one no role names any."""
    for function, properties in stack.of("AWS::Lambda::Function"):
        for action in KEY_ACTIONS:
            if stack.chosen.key and not stack.uses(properties, action, stack.chosen.key):
                yield f"{function}: may not {action} with the key"
    for owner, document in stack.policies():
        for statement in document["Statement"]:
            named = [action for action in listed(statement["Action"]) if action.startswith("kms:")]
            if named and (named != KEY_ACTIONS or statement["Resource"] != stack.chosen.key):
                yield f"{owner}: {', '.join(named)} on {json.dumps(statement['Resource'])}"


def functions_run_on_what_is_chosen(stack):
    """All on one architecture: `sam build` builds all for one."""
    for function, properties in stack.of("AWS::Lambda::Function"):
        if properties.get("Architectures") != [stack.chosen.architecture]:
            yield f"{function}: runs on {properties.get('Architectures')}"


def queues_refuse_plain_http(stack):
    """A policy of each queue denies what does not come over TLS."""
    denying = {
        target(queue)
        for _, policy in stack.of("AWS::SQS::QueuePolicy")
        for queue in policy["Queues"]
        for statement in policy["PolicyDocument"]["Statement"]
        if (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
        and target(statement["Resource"]) == target(queue)
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    }
    for name, _ in stack.of("AWS::SQS::Queue"):
        if name not in denying:
            yield f"{name}: takes requests without TLS"


def tables_can_refuse_to_be_deleted(stack):
    """Whoever deploys says whether they do."""
    for name, table in stack.of("AWS::DynamoDB::Table"):
        if table.get("DeletionProtectionEnabled") != stack.chosen.deletion_protection:
            yield f"{name}: TableDeletionProtection does not protect it"


def data_outlives_the_stack(stack):
    """Deleting or replacing a resource keeps what it holds; queues keep it as long as SQS can."""
    for kind in ("AWS::Kinesis::Stream", "AWS::DynamoDB::Table", "AWS::SQS::Queue"):
        for name, properties in stack.of(kind):
            for policy, wanted in RETAINED.items():
                if stack.resources[name].get(policy) != wanted:
                    yield f"{name}: {policy} is not {wanted}"
            if kind == "AWS::SQS::Queue" and properties.get("MessageRetentionPeriod") != FOURTEEN_DAYS:
                yield f"{name}: keeps messages for less than 14 days"


def queues_take_the_largest_letter(stack):
    """The default of a message's size has been 256 KiB and is 1 MiB: it is said, and what writes letters counts on it."""
    for name, queue in stack.of("AWS::SQS::Queue"):
        if queue.get("MaximumMessageSize") != MESSAGE_BYTES:
            yield f"{name}: MaximumMessageSize is not {MESSAGE_BYTES}"


def a_group_keeps_to_its_own_items(stack):
    """Every group's progress and window stand in one table each: a role reaches those of its group and no others."""
    for function, properties in stack.groups():
        env = variables(properties)
        own = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{env.get('PENSTOCK_GROUP')}/*"]}}
        tables = {target(env.get("PENSTOCK_PROGRESS_TABLE")), target(env.get("PENSTOCK_WINDOW_TABLE"))}
        for statement in stack.statements(properties):
            shared = tables & set(map(target, listed(statement["Resource"])))
            if shared - {None} and statement.get("Condition") != own:
                yield f"{function}: its role reaches all of {', '.join(sorted(shared))}"


def policies_name_what_they_allow(stack):
    """No wildcard in an action or a resource, and no managed policy of AWS, which are full of them."""
    for owner, document in stack.policies():
        for statement in document["Statement"]:
            for part in ("Action", "Resource"):
                for value in listed(statement.get(part, "*")):
                    if "*" in json.dumps(value):
                        yield f"{owner}: {part} {json.dumps(value)}"
    for name, role in stack.of("AWS::IAM::Role"):
        for policy in role.get("ManagedPolicyArns", []):
            if stack.kind(policy) != "AWS::IAM::ManagedPolicy":
                yield f"{name}: managed policy {json.dumps(policy)}"


def dead_letters_can_be_sent_back(stack):
    """A group reads the queue that its dead letters are moved to; what fails again goes back, message by message."""
    queues = dict(stack.of("AWS::SQS::Queue"))
    owners = [target(variables(group).get("PENSTOCK_DEAD_LETTER_QUEUE_URL")) for _, group in stack.groups()]
    for function, properties in stack.groups():
        letters = target(variables(properties).get("PENSTOCK_DEAD_LETTER_QUEUE_URL"))
        if owners.count(letters) > 1:
            continue  # each_group_has_its_own_name_and_dead_letters says so
        behind = [
            name
            for name, queue in queues.items()
            if target(queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")) == letters
        ]
        if len(behind) != 1:
            yield f"{function}: {len(behind)} queues have {letters} as their redrive target, not 1"
            continue
        read = [
            mapping
            for _, mapping in stack.of("AWS::Lambda::EventSourceMapping")
            if target(mapping.get("EventSourceArn")) == behind[0] and target(mapping["FunctionName"]) == function
        ]
        if not read or read[0].get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{function}: does not read {behind[0]} and report each message"
        if not stack.may(properties, "sqs:ReceiveMessage", behind[0]):
            yield f"{function}: may not receive from {behind[0]}"
        if queues[behind[0]].get("VisibilityTimeout", 30) < properties.get("Timeout", 3):
            yield f"{behind[0]}: a message is visible again before {function} times out"


def outputs_tell_where_the_rest_is(stack):
    """`recover` and the `penstock` commands find stream, tables and queues by outputs too, and refuse a stack without them."""
    outputs = stack.template.get("Outputs", {})
    for name, mapping in stack.mappings():
        env = variables(stack.resources[target(mapping["FunctionName"])]["Properties"])
        notices = target(mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))
        queue = stack.resources.get(notices or "", {}).get("Properties", {})
        wanted = {
            "StreamName": target(env.get("PENSTOCK_STREAM")),
            "ProgressTable": target(env.get("PENSTOCK_PROGRESS_TABLE")),
            "WindowTable": target(env.get("PENSTOCK_WINDOW_TABLE")),
            "GiveUpsQueueUrl": notices,
            "FailedGiveUpsQueueUrl": target(queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")),
        }
        for output, resource in wanted.items():
            # What is not there is said by the rules about it.
            if resource is not None and outputs.get(output, {}).get("Value") != {"Ref": resource}:
                yield f"{output}: is not {resource}, which {name} leads to"


def outputs_tell_of_every_group(stack):
    """`recover` and the `penstock` commands find a group by its output alone, in the format that the stack says."""
    outputs = stack.template.get("Outputs", {})
    if outputs.get("FormatVersion", {}).get("Value") != FORMAT_VERSION:
        yield f"FormatVersion is not {FORMAT_VERSION}"
    wanted = {}
    for function, properties in stack.groups():
        env = variables(properties)
        letters = target(env.get("PENSTOCK_DEAD_LETTER_QUEUE_URL"))
        behind = [
            name
            for name, queue in stack.of("AWS::SQS::Queue")
            if target(queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")) == letters
        ]
        resources = {"function": function, "deadLetters": letters, "redrive": behind[0] if len(behind) == 1 else None}
        if "PENSTOCK_STATE_TABLE" in env:
            resources["states"] = target(env["PENSTOCK_STATE_TABLE"])
        # What is not there is said by dead_letters_can_be_sent_back.
        said = {part: f"${{{name}}}" for part, name in resources.items() if name is not None}
        wanted[f"{function}Group"] = {"group": env.get("PENSTOCK_GROUP")} | said, set(resources) | {"group"}
    for name, (values, parts) in wanted.items():
        told = registered(outputs.get(name, {}).get("Value"))
        if told is None:
            yield f"{name}: no output tells of the group in JSON"
        elif not (values.items() <= told.items() and told.keys() == parts):
            yield f"{name}: says {told}, and the group is {values}"
    for name in outputs.keys() - wanted.keys():
        # The name of a log group, say, may end so too.
        if name.endswith("Group") and registered(outputs[name].get("Value")) is not None:
            yield f"{name}: tells of a group that is not there"


def registered(value):
    """What the output of a group says, with places as `${Name}`; none if it is not an object of JSON."""
    try:
        told = json.loads(value["Fn::Sub"])
    except (TypeError, KeyError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def queues_let_in_one_role_at_a_time(stack):
    """Whoever else may use a queue has the right in its own role, where policies_name_what_they_allow looks."""
    for name, policy in stack.of("AWS::SQS::QueuePolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                principal = statement["Principal"]
                role = principal.get("AWS") if isinstance(principal, dict) else None
                queues = list(map(target, policy["Queues"]))
                if stack.kind(role) != "AWS::IAM::Role" or target(statement["Resource"]) not in queues:
                    yield f"{name}: lets {json.dumps(principal)} into {json.dumps(statement['Resource'])}"
                if statement["Action"] != "sqs:SendMessage":
                    yield f"{name}: allows {json.dumps(statement['Action'])}"


def what_is_given_up_is_recovered(stack):
    """Somebody turns the notices of every group into its dead letters."""
    for name, mapping in stack.mappings():
        notices = target(mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))
        readers = [
            stack.resources[target(reader["FunctionName"])]["Properties"]
            for _, reader in stack.of("AWS::Lambda::EventSourceMapping")
            if notices and target(reader.get("EventSourceArn")) == notices
        ]
        function = target(mapping["FunctionName"])
        letters = target(variables(stack.resources[function]["Properties"]).get("PENSTOCK_DEAD_LETTER_QUEUE_URL"))
        for reader in readers:
            if variables(reader).get("PENSTOCK_STACK") != {"Ref": "AWS::StackId"}:
                yield f"{name}: who recovers what it gives up does not know its stack"
            if not stack.may(reader, "cloudformation:DescribeStacks", "AWS::StackId"):
                yield f"{name}: who recovers what it gives up may not read the outputs of its stack"
            if letters and not stack.lets_in(letters, "sqs:SendMessage", target(reader["Role"])):
                yield f"{name}: what it gives up may not be sent to {letters}"
            for variable, actions in RECOVERY_ACTIONS.items():
                table = target(variables(reader).get(variable))
                for action in actions:
                    if not stack.may(reader, action, table):
                        yield f"{name}: recovering what it gives up needs {action} on {table}"
        if notices and not readers:
            yield f"{name}: nobody reads {notices}"


def notices_that_fail_are_kept_and_told(stack):
    """A notice that cannot be worked off ends in a queue of its own while SQS still has it, and somebody is told."""
    queues = dict(stack.of("AWS::SQS::Queue"))
    for name in {target(m.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")) for _, m in stack.mappings()}:
        if name not in queues:
            continue  # giving_up_is_announced says so
        policy = queues[name].get("RedrivePolicy", {})
        failed = target(policy.get("deadLetterTargetArn"))
        if failed not in queues:
            yield f"{name}: notices that fail have no dead-letter queue"
            continue
        seconds = policy.get("maxReceiveCount", 0) * queues[name].get("VisibilityTimeout", 30)
        if not RETRIED_SECONDS_MIN <= seconds <= FOURTEEN_DAYS / 2:
            yield f"{name}: a notice fails after {seconds} s, which is not between a day and a week"
        if any(target(reader.get("EventSourceArn")) == failed for _, reader in stack.of("AWS::Lambda::EventSourceMapping")):
            yield f"{failed}: a function reads it"
        told = watching.found(stack, "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", QueueName=failed)
        if not watching.above_nothing(told):
            yield f"{failed}: no alarm tells that there is a message in it"


def the_edge_answers_before_the_api_gives_up(stack):
    """A function that the API invokes ends before the API's own time is up."""
    for _, permission in stack.of("AWS::Lambda::Permission"):
        if permission["Principal"] == "apigateway.amazonaws.com":
            name = target(permission["FunctionName"])
            timeout = stack.resources[name]["Properties"].get("Timeout", 3)
            if timeout >= API_TIMEOUT:
                yield f"{name}: its time-out of {timeout} s is not below {API_TIMEOUT} s"


def the_edge_is_bounded(stack):
    """Somebody who floods the API takes neither the groups' concurrency nor the account's, and is seen in a log."""
    for name, stage in stack.of("AWS::ApiGatewayV2::Stage"):
        limits = stage.get("DefaultRouteSettings", {})
        if not {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= limits.keys():
            yield f"{name}: takes as many requests as the account does"
        if stack.kind(stage.get("AccessLogSettings", {}).get("DestinationArn")) != "AWS::Logs::LogGroup":
            yield f"{name}: nobody sees who sent what"
    for _, permission in stack.of("AWS::Lambda::Permission"):
        if permission["Principal"] == "apigateway.amazonaws.com":
            name = target(permission["FunctionName"])
            function = stack.resources[name]["Properties"]
            if stack.chosen.reserves_concurrency and "ReservedConcurrentExecutions" not in function:
                yield f"{name}: no parameter bounds its concurrency"
            seconds = int(stack.value(variables(function).get("PENSTOCK_PUT_SECONDS", API_TIMEOUT)))
            if seconds > PUT_SECONDS_MAX:
                yield f"{name}: a request waits {seconds} s for a stream that throttles"


def the_edge_reads_published_schemas(stack):
    """And cannot write them: only who publishes adds versions, and none is ever deleted."""
    for _, permission in stack.of("AWS::Lambda::Permission"):
        if permission["Principal"] != "apigateway.amazonaws.com":
            continue
        name = target(permission["FunctionName"])
        function = stack.resources[name]["Properties"]
        table = target(variables(function).get("PENSTOCK_SCHEMAS_TABLE"))
        if stack.kind({"Ref": table}) != "AWS::DynamoDB::Table":
            yield f"{name}: knows no table of schemas"
            continue
        if "TimeToLiveSpecification" in stack.resources[table]["Properties"]:
            yield f"{table}: its items expire"
        if stack.template["Outputs"].get("SchemasTable", {}).get("Value") != {"Ref": table}:
            yield f"SchemasTable: is not {table}, which {name} reads"
        for action in SCHEMA_ACTIONS:
            if not stack.may(function, action, table):
                yield f"{name}: may not use {action} on {table}"
        for statement in stack.statements(function):
            if table in map(target, listed(statement["Resource"])) and set(listed(statement["Action"])) - set(SCHEMA_ACTIONS):
                yield f"{name}: may do more than read {table}"


RULES = [
    one_run_a_shard_at_a_time,
    groups_share_a_shard_or_fan_out,
    failures_are_reported_by_record,
    batches_stay_whole,
    only_age_gives_up,
    giving_up_is_announced,
    a_new_group_reads_from_the_start,
    each_group_has_its_own_name_and_dead_letters,
    groups_are_given_all_they_read,
    windows_expire,
    tables_can_be_restored,
    data_is_encrypted,
    roles_may_use_the_key,
    functions_run_on_what_is_chosen,
    queues_refuse_plain_http,
    tables_can_refuse_to_be_deleted,
    data_outlives_the_stack,
    queues_take_the_largest_letter,
    a_group_keeps_to_its_own_items,
    policies_name_what_they_allow,
    dead_letters_can_be_sent_back,
    outputs_tell_where_the_rest_is,
    outputs_tell_of_every_group,
    queues_let_in_one_role_at_a_time,
    what_is_given_up_is_recovered,
    notices_that_fail_are_kept_and_told,
    the_edge_answers_before_the_api_gives_up,
    the_edge_is_bounded,
    the_edge_reads_published_schemas,
    *watching.RULES,
]


def findings(template, *choices):
    """Every rule that the expanded `template` breaks with one of the choices, with what breaks it."""
    stacks = [Stack(template, chosen) for chosen in choices or PARAMETERS]
    found = {rule.__name__: [line for stack in stacks for line in rule(stack)] for rule in RULES}
    return {rule: lines for rule, lines in found.items() if lines}
