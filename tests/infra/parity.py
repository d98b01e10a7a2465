"""Two templates, compared by what they make: SAM's expansion with its parameters filled in, and what the CDK app synthesizes.

Each becomes a normal form of plain texts, lists and dictionaries, in which a reference is the text `${Name}` or
`${Name.Attribute}` however it was written, and in which numbers and truth values are texts too, since CloudFormation does not
tell `"500"` from `500`. Resources go by the names that they have in `template.yaml`.
"""

import json
import re

# The constructs that only group others: they are no part of a resource's name.
FOLDERS = {"Pipeline", "Edge", "Recovery", "Function", "Resource"}
# A name that SAM makes itself.
SAM_NAMES = {"HttpApiStage": "HttpApiApiGatewayDefaultStage"}

# Texts that are JSON: white space and the order of their members mean nothing.
JSON_TEXTS = {"DashboardBody", "Format"}

# Where IAM takes one text or a list of them.
ONE_OR_MANY = {"Action", "Resource"}

# What SAM's parameters come to is compared where it is used.
RESOLVED = {"Parameters", "Conditions", "Mappings"}
# These need not be there.
SECTIONS = {"Parameters", "Conditions", "Rules", "Outputs"}

NO_VALUE = object()
ABSENT = "(absent)"


def named(template):
    """The name in `template.yaml` of every resource of a CDK template, by its logical id: its construct's path spells it."""
    names = {}
    for logical_id, resource in template["Resources"].items():
        path = resource["Metadata"]["aws:cdk:path"].split("/")[1:]
        words = [word for part in path if part not in FOLDERS for word in part.split("-")]
        name = "".join(word[:1].upper() + word[1:] for word in words)
        name = SAM_NAMES.get(name, name)
        if name in names.values():
            raise ValueError(f"two resources are called {name}")
        names[logical_id] = name
    return names


class Normal:
    """Brings one template into the normal form."""

    def __init__(self, template, names, parameters):
        self.template, self.names, self.parameters = template, names, parameters

    def sections(self, left_out=frozenset()):
        """All of the template but its resources' metadata."""
        left_out = {"AWSTemplateFormatVersion", *left_out}
        kept = {name: section for name, section in self.template.items() if name not in left_out | {"Resources"}}
        resources = {
            self.names.get(logical_id, logical_id): self.resource(resource)
            for logical_id, resource in self.template["Resources"].items()
            if self.is_made(resource)
        }
        sections = {name: self.value(section) for name, section in kept.items()}
        return dict.fromkeys(SECTIONS, {}) | sections | {"Resources": resources}

    def is_made(self, resource):
        """Whether the condition of a resource holds, if it has one."""
        return "Condition" not in resource or self.holds({"Condition": resource["Condition"]})

    def resource(self, resource):
        """A resource without its metadata, and without its condition."""
        return self.value({name: part for name, part in resource.items() if name not in ("Metadata", "Condition")})

    def value(self, value, key=None):
        """The normal form of `value`, which stands under `key`."""
        value = self.plain(value)
        if key in JSON_TEXTS and isinstance(value, str):
            value = parsed(value)
        if key in ONE_OR_MANY and isinstance(value, list) and len(value) == 1:
            value = value[0]
        return value

    def plain(self, value):
        """The normal form of a value that is no text of JSON."""
        if isinstance(value, dict) and len(value) == 1:
            (function, argument), = value.items()
            if function == "Ref":
                return self.ref(argument)
            if function.startswith("Fn::"):
                return self.call(function, argument)
        if isinstance(value, dict):
            members = {key: self.value(member, key) for key, member in value.items()}
            return {key: member for key, member in members.items() if member is not NO_VALUE}
        if isinstance(value, list):
            return [member for member in map(self.plain, value) if member is not NO_VALUE]
        return scalar(value)

    def ref(self, target):
        """What a `Ref` comes to."""
        if target == "AWS::NoValue":
            return NO_VALUE
        if target in self.parameters:
            return scalar(self.parameters[target])
        return f"${{{self.names.get(target, target)}}}"

    def call(self, function, argument):
        """What an intrinsic function comes to."""
        if function == "Fn::GetAtt":
            logical_id, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
            return f"${{{self.names.get(logical_id, logical_id)}.{attribute}}}"
        if function == "Fn::Join":
            separator, parts = argument
            return separator.join(map(self.plain, parts))
        if function == "Fn::Sub":
            text, variables = argument if isinstance(argument, list) else (argument, {})
            return re.sub(r"\$\{([^!}][^}]*)\}", lambda match: self.substituted(match[1], variables), text)
        if function == "Fn::If":
            condition, then, otherwise = argument
            return self.plain(then if self.holds({"Condition": condition}) else otherwise)
        if function == "Fn::FindInMap":
            name, row, column = map(self.plain, argument)
            return scalar(self.template["Mappings"][name][row][column])
        if function == "Fn::Equals":  # the assertion of a rule
            return {function: self.plain(argument)}
        if function in ("Fn::Not", "Fn::Contains"):
            return {function: [self.plain(part) for part in argument]}
        raise ValueError(f"{function} has no normal form here")

    def substituted(self, name, variables):
        """What a place in a `Fn::Sub` comes to."""
        if name in variables:
            return self.plain(variables[name])
        return self.ref(name) if "." not in name else self.call("Fn::GetAtt", name)

    def holds(self, condition):
        """Whether a condition does."""
        (function, argument), = condition.items()
        if function == "Condition":
            return self.holds(self.template["Conditions"][argument])
        if function == "Fn::Equals":
            return self.plain(argument[0]) == self.plain(argument[1])
        if function == "Fn::Not":
            return not self.holds(argument[0])
        raise ValueError(f"{function} is no condition that is known here")


def scalar(value):
    """A text, a number or a truth value as CloudFormation reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) and not value.is_integer() else str(int(value))
    if isinstance(value, str):
        return value.replace("${", "${!")  # no place in it: it was not in a `Fn::Sub`
    raise ValueError(f"{value!r} has no normal form")


def parsed(text):
    """What a text of JSON says, or the text if it is none. Its references are in the normal form already."""
    try:
        return json.loads(text, parse_int=str, parse_float=lambda number: scalar(float(number)))
    except ValueError:
        return text


def of_sam(expanded, settings=None):
    """The normal form of an expansion, with `settings` for its parameters and defaults for the others."""
    defaults = {name: parameter.get("Default") for name, parameter in expanded["Parameters"].items()}
    return Normal(expanded, {}, defaults | (settings or {})).sections(RESOLVED)


def of_cdk(synthesized):
    """The normal form of a CDK template."""
    return Normal(synthesized, named(synthesized), {}).sections()


def differences(sam, cdk, path=""):
    """Where two normal forms differ: the path, and what stands there on each side."""
    if isinstance(sam, dict) and isinstance(cdk, dict):
        for key in sorted(sam.keys() | cdk.keys()):
            below = f"{path}/{key.replace('/', '~')}" if path else key
            yield from differences(sam.get(key, ABSENT), cdk.get(key, ABSENT), below)
    elif isinstance(sam, list) and isinstance(cdk, list) and len(sam) == len(cdk):
        for n, (left, right) in enumerate(zip(sam, cdk)):
            yield from differences(left, right, f"{path}/{n}")
    elif sam != cdk:
        yield path, sam, cdk


def judged(found, allowed):
    """One sentence for each of the differences `found` that is not `allowed`, and for each that is and is not there."""
    used = set()
    for path, sam, cdk in found:
        entry = next((entry for entry in allowed if path == entry or path.startswith(f"{entry}/")), None)
        if entry is None:
            yield f"{path}: SAM has {json.dumps(sam)}, the CDK {json.dumps(cdk)}"
        used.add(entry)
    for entry in allowed.keys() - used:
        yield f"{entry}: allowed to differ ({allowed[entry]}), and does not"


def as_rules_read(synthesized):
    """A CDK template as the rules read one: resources and outputs under SAM's names, and texts with references as `Fn::Sub`."""
    names = named(synthesized)

    def rewritten(value):
        if isinstance(value, list):
            return [rewritten(member) for member in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return {"Ref": names.get(value["Ref"], value["Ref"])}
        if "Fn::GetAtt" in value:
            logical_id, attribute = value["Fn::GetAtt"]
            return {"Fn::GetAtt": [names.get(logical_id, logical_id), attribute]}
        if "Fn::Join" in value:
            return {"Fn::Sub": Normal(synthesized, names, {}).plain(value)}
        return {key: rewritten(member) for key, member in value.items()}

    resources = {names[logical_id]: rewritten(resource) for logical_id, resource in synthesized["Resources"].items()}
    return synthesized | {"Resources": resources, "Outputs": rewritten(synthesized["Outputs"])}
