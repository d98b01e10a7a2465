"""An expanded template, and the questions that the rules ask of it."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What somebody who deploys may choose, as it has to stand in the resources."""

    deletion_protection: Any
    # One key for the windows of a stack, which a redeployment keeps; the stack's id unless somebody gives one.
    fingerprint_key: Any
    alarm_actions: Any
    reserves_concurrency: bool
    architecture: Any
    # The key of whoever deploys; none leaves it to keys that AWS manages.
    key: Any = None
    fans_out: bool = False
    # Conditions of the template, with whether they hold. What hangs on others stands in the resources as it is.
    conditions: tuple = ()


# The template leaves all of it to parameters. It is looked at twice: as it is by default, and with all that is optional.
BY_DEFAULT = Chosen(
    deletion_protection={"Ref": "TableDeletionProtection"},
    fingerprint_key={"Fn::If": ["OwnFingerprintKey", {"Ref": "FingerprintKey"}, {"Ref": "AWS::StackId"}]},
    alarm_actions={"Fn::If": ["Alarmed", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]},
    reserves_concurrency=True,
    architecture={"Ref": "Architecture"},
    conditions=(("OwnKey", False), ("GivesUpEarlier", False), ("FannedOut", False)),
)
PARAMETERS = (
    BY_DEFAULT,
    dataclasses.replace(
        BY_DEFAULT,
        key={"Ref": "KmsKeyArn"},
        fans_out=True,
        conditions=tuple((name, True) for name, _ in BY_DEFAULT.conditions),
    ),
)

NO_VALUE = {"Ref": "AWS::NoValue"}


def decided(value, conditions):
    """`value` with each `Fn::If` on one of the conditions replaced by what it comes to."""
    if isinstance(value, dict):
        if set(value) == {"Fn::If"} and value["Fn::If"][0] in conditions:
            name, then, otherwise = value["Fn::If"]
            return decided(then if conditions[name] else otherwise, conditions)
        members = {key: decided(member, conditions) for key, member in value.items()}
        return {key: member for key, member in members.items() if member != NO_VALUE or value[key] == NO_VALUE}
    if isinstance(value, list):
        return [found for member in value if (found := decided(member, conditions)) != NO_VALUE or member == NO_VALUE]
    return value


class Stack:
    """An expanded template, with the questions that the rules ask of it."""

    def __init__(self, template, chosen):
        self.template = template
        self.chosen = chosen
        conditions = dict(chosen.conditions)
        self.resources = {
            name: decided(resource, conditions)
            for name, resource in template["Resources"].items()
            if conditions.get(resource.get("Condition"), True)
        }

    def of(self, kind):
        """Logical id and properties of every resource of a type."""
        for name, resource in self.resources.items():
            if resource["Type"] == kind:
                yield name, resource.get("Properties", {})

    def parameter(self, value):
        """The parameter that `value` refers to, if it does."""
        return self.template.get("Parameters", {}).get(target(value) or "")

    def value(self, value):
        """`value`, or the default of the parameter that it refers to."""
        parameter = self.parameter(value)
        return parameter.get("Default") if parameter else value

    def mappings(self):
        """The mappings that read a stream, not a queue."""
        for name, mapping in self.of("AWS::Lambda::EventSourceMapping"):
            if self.kind(mapping.get("EventSourceArn")) in ("AWS::Kinesis::Stream", "AWS::Kinesis::StreamConsumer"):
                yield name, mapping

    def groups(self):
        """The functions that read a stream: logical id and properties."""
        for _, mapping in self.mappings():
            name = target(mapping["FunctionName"])
            yield name, self.resources[name]["Properties"]

    def kind(self, reference):
        """The type of the resource that `reference` leads to."""
        return self.resources.get(target(reference) or "", {}).get("Type")

    def policies(self):
        """Owner and document of every policy."""
        for name, role in self.of("AWS::IAM::Role"):
            for policy in role.get("Policies", []):
                yield name, policy["PolicyDocument"]
        for kind in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"):
            for name, policy in self.of(kind):
                yield name, policy["PolicyDocument"]

    def statements(self, function):
        """Every statement of the policies of a function's role."""
        role = target(function["Role"])
        attached = self.resources[role]["Properties"].get("ManagedPolicyArns", [])
        owners = {role, *map(target, attached)}
        for owner, document in self.policies():
            if owner in owners:
                yield from document["Statement"]

    def may(self, function, action, resource):
        """Whether the role of `function` allows `action` on the resource called `resource`."""
        return any(
            action in listed(statement["Action"]) and resource in map(target, listed(statement["Resource"]))
            for statement in self.statements(function)
        )

    def uses(self, function, action, arn):
        """Whether the role of `function` allows `action` on exactly `arn`, which is no resource of the template."""
        return any(
            action in listed(statement["Action"]) and arn in listed(statement["Resource"])
            for statement in self.statements(function)
        )

    def lets_in(self, queue, action, role):
        """Whether the policy of `queue` allows `action` on it to the role called `role`."""
        return any(
            queue in map(target, policy["Queues"])
            and (statement["Effect"], statement["Action"], target(statement["Resource"])) == ("Allow", action, queue)
            and isinstance(statement["Principal"], dict)
            and target(statement["Principal"].get("AWS")) == role
            for _, policy in self.of("AWS::SQS::QueuePolicy")
            for statement in policy["PolicyDocument"]["Statement"]
        )


def target(value):
    """The logical id that a `Ref` or `Fn::GetAtt` leads to."""
    if isinstance(value, dict):
        if "Ref" in value:
            return value["Ref"]
        if "Fn::GetAtt" in value:
            return value["Fn::GetAtt"][0]
    return None


def listed(value):
    """A list, where CloudFormation takes one value or a list."""
    return value if isinstance(value, list) else [value]


def variables(function):
    """The environment of a function."""
    return function.get("Environment", {}).get("Variables", {})
