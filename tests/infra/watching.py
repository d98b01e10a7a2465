"""What has to be watched in the template: the alarms that tell of each fault of its kind, and how they are set.

The rules ask by what an alarm measures and not by its name, so they also hold for a consumer group that somebody adds.
"""

import json
import pathlib
import re

from stack import target, variables

# An alarm on the duration rings before the time-out does, and not on half of it. A group's run stops four seconds before.
NEAR_THE_TIMEOUT = (0.5, 0.98)
# Below so many requests a minute, one that fails is a large share and no sign.
REQUESTS_MIN = 100

RUNBOOK = pathlib.Path(__file__).resolve().parents[2] / "docs/runbook"


def alarms(stack):
    """Logical id and properties of every alarm."""
    return stack.of("AWS::CloudWatch::Alarm")


def measured(alarm):
    """Every metric of an alarm: namespace, name, statistic, and what its dimensions are set to."""
    plain = [alarm | {"Stat": alarm.get("Statistic")}] if "MetricName" in alarm else []
    queries = [query["MetricStat"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    for metric in plain + [query["Metric"] | {"Stat": query["Stat"]} for query in queries]:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric.get("Dimensions", [])}
        yield metric["Namespace"], metric["MetricName"], metric["Stat"], dimensions


def found(stack, namespace, name, stat, **dimensions):
    """The alarms over nothing on a metric, for the resource or the value that each dimension names."""
    for _, alarm in alarms(stack):
        for metric in measured(alarm):
            values = {key: target(value) or value for key, value in metric[3].items()}
            if (*metric[:3], values) == (namespace, name, stat, dimensions):
                yield alarm


def above_nothing(candidates):
    """Whether one of the alarms rings as soon as there is anything."""
    return any(
        (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0) for alarm in candidates
    )


def namespace(function):
    """Where a function's own metrics go."""
    return variables(function).get("PENSTOCK_METRICS_NAMESPACE")


def metrics_of_two_stacks_stay_apart(stack):
    """The namespace is the stack's; with one for all, an alarm would add up what is not one thing."""
    for name, function in stack.of("AWS::Lambda::Function"):
        if "${AWS::StackName}" not in json.dumps(namespace(function)):
            yield f"{name}: PENSTOCK_METRICS_NAMESPACE does not name the stack"


def every_group_tells_its_lag(stack):
    """Lag shows every other fault: by Lambda's figure, and by our own, which sees runs that succeed and do not move."""
    for function, properties in stack.groups():
        group = variables(properties).get("PENSTOCK_GROUP")
        if not any(found(stack, "AWS/Lambda", "IteratorAge", "Maximum", FunctionName=function)):
            yield f"{function}: no alarm on its IteratorAge"
        if namespace(properties) and not any(
            found(stack, namespace(properties), "consumer_lag_ms", "Maximum", Group=group)
        ):
            yield f"{function}: no alarm on consumer_lag_ms of {group}"


def every_function_is_watched(stack):
    """Errors, throttles, and a duration that comes close to the time-out."""
    for function, properties in stack.of("AWS::Lambda::Function"):
        for metric in ("Errors", "Throttles"):
            if not above_nothing(found(stack, "AWS/Lambda", metric, "Sum", FunctionName=function)):
                yield f"{function}: no alarm on its {metric}"
        low, high = (share * 1000 * properties.get("Timeout", 3) for share in NEAR_THE_TIMEOUT)
        durations = list(found(stack, "AWS/Lambda", "Duration", "Maximum", FunctionName=function))
        if not any(low <= alarm["Threshold"] <= high for alarm in durations):
            yield f"{function}: no alarm on a Duration between {low:.0f} and {high:.0f} ms"


def failing_requests_are_told(stack):
    """The share of requests that fail, where they are many; and that all of them do, where they are few."""
    shares = []
    for _, alarm in alarms(stack):
        expression = next((query["Expression"] for query in alarm.get("Metrics", []) if "Expression" in query), "")
        metrics = {(name, stat) for _, name, stat, _ in measured(alarm)}
        if {("produce_requests_failed", "Sum"), ("produce_requests_failed", "SampleCount")} <= metrics:
            shares.append((re.sub(r"^IF\(requests >= (\d+), (.*), 0\)$", r"\1: \2", expression), alarm["Threshold"]))
    if (f"{REQUESTS_MIN}: 100 * failed / requests", 1) not in shares:
        yield f"no alarm on more than 1 % of at least {REQUESTS_MIN} requests"
    if ("100 * failed / requests", 99) not in shares:
        yield "no alarm on requests that all fail"


def dead_letters_are_told(stack):
    """Any letter in a group's queue."""
    for function, properties in stack.groups():
        queue = target(variables(properties).get("PENSTOCK_DEAD_LETTER_QUEUE_URL"))
        visible = found(stack, "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", QueueName=queue)
        if queue and not above_nothing(visible):
            yield f"{function}: no alarm on a letter in {queue}"


def stuck_redrives_are_told(stack):
    """What was sent back is worked off."""
    queues = dict(stack.of("AWS::SQS::Queue"))
    for name, mapping in stack.of("AWS::Lambda::EventSourceMapping"):
        queue = target(mapping.get("EventSourceArn"))
        if queue in queues and target(mapping["FunctionName"]) in [function for function, _ in stack.groups()]:
            if not any(found(stack, "AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", QueueName=queue)):
                yield f"{name}: no alarm on the age of what waits in {queue}"


def what_is_given_up_is_told(stack):
    """A notice counts while it waits and while it is hidden after a failure."""
    for name, mapping in stack.mappings():
        queue = target(mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))
        names = ["ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"]
        if queue and not all(above_nothing(found(stack, "AWS/SQS", n, "Maximum", QueueName=queue)) for n in names):
            yield f"{name}: no alarm on a notice in {queue}"


def throttling_is_told(stack):
    """The stream refuses writes; a table refuses reads or writes."""
    for name, _ in stack.of("AWS::Kinesis::Stream"):
        refused = found(stack, "AWS/Kinesis", "WriteProvisionedThroughputExceeded", "Sum", StreamName=name)
        if not above_nothing(refused):
            yield f"{name}: no alarm on refused writes"
    for name, _ in stack.of("AWS::DynamoDB::Table"):
        for metric in ("ReadThrottleEvents", "WriteThrottleEvents"):
            if not above_nothing(found(stack, "AWS/DynamoDB", metric, "Sum", TableName=name)):
                yield f"{name}: no alarm on {metric}"


def alarms_are_silent_while_nothing_happens(stack):
    """No data is no fault: a new stack, or one without traffic, rings nothing."""
    for name, alarm in alarms(stack):
        if alarm.get("TreatMissingData") != "notBreaching":
            yield f"{name}: TreatMissingData is {alarm.get('TreatMissingData')}"
        if not alarm["ComparisonOperator"].startswith("Greater"):
            yield f"{name}: rings on small values"


def alarms_reach_whoever_is_named(stack):
    """The topic that is named hears that an alarm rings and that it is over."""
    for name, alarm in alarms(stack):
        for actions in ("AlarmActions", "OKActions"):
            if alarm.get(actions) != stack.chosen.alarm_actions:
                yield f"{name}: {actions} is not the topic"


def alarms_say_what_to_do(stack):
    """What it means, what to do first, and a page of the runbook that is there."""
    for name, alarm in alarms(stack):
        description = alarm.get("AlarmDescription", "")
        page = re.search(r"docs/runbook/([a-z-]+)\.md$", description)
        if "First: " not in description:
            yield f"{name}: its description does not say what to do first"
        if not page:
            yield f"{name}: its description does not end with a page of the runbook"
        elif not (RUNBOOK / f"{page[1]}.md").is_file():
            yield f"{name}: {page[0]} is not there"


def the_dashboard_has_three_rows(stack):
    """Producer, log and consumers, in JSON that CloudWatch can read."""
    for name, dashboard in stack.of("AWS::CloudWatch::Dashboard"):
        text = re.sub(r"\$\{[^}]*\}", "1", dashboard["DashboardBody"]["Fn::Sub"])
        try:
            widgets = json.loads(text)["widgets"]
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        rows = [widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text"]
        if rows != ["## Producer", "## Log", "## Consumers"]:
            yield f"{name}: its rows are {rows}"
        return
    yield "there is no dashboard"


RULES = [
    metrics_of_two_stacks_stay_apart,
    every_group_tells_its_lag,
    every_function_is_watched,
    failing_requests_are_told,
    dead_letters_are_told,
    stuck_redrives_are_told,
    what_is_given_up_is_told,
    throttling_is_told,
    alarms_are_silent_while_nothing_happens,
    alarms_reach_whoever_is_named,
    alarms_say_what_to_do,
    the_dashboard_has_three_rows,
]
