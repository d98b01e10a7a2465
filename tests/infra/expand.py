"""The template as CloudFormation gets it: SAM's transform, run offline.

cfn-lint does not expand SAM, so on the template itself it passes faults that it finds in the expansion. No AWS account
is asked: a local CodeUri becomes an S3 address that looks valid, and the template names no managed policy of AWS.
"""

import copy
import json
import logging
import os
import pathlib
import sys

from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

REGION = "us-east-1"

# The transform counts what it is used for and complains that nobody collects the counts.
logging.getLogger("samtranslator").setLevel(logging.ERROR)


class NoManagedPolicies(ManagedPolicyLoader):
    """Answers for IAM. SAM asks by name for policies that a function lists; here none may be listed."""

    def __init__(self):
        super().__init__(iam_client=None)

    def load(self):
        return {}


def read(path):
    """The template in `path`, with short forms such as `!Ref` written out."""
    return yaml_parse(pathlib.Path(path).read_text(encoding="utf-8"))


def expand(template):
    """The CloudFormation template that SAM makes of `template`, which stays as it is."""
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://artifacts/function.zip"
    return transform(template, {}, NoManagedPolicies())


def main(source, target):
    """Writes the expansion of `source` to `target`."""
    target = pathlib.Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    expanded = expand(read(source))
    target.write_text(json.dumps(expanded, indent=2) + "\n", encoding="utf-8")
    print(f"{source}: {len(expanded['Resources'])} resources in {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
