"""Emulators as accounts: each is a server of its own on a free port, and stacks are deployed to it."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "infra"))

from stack import BY_DEFAULT, Stack  # noqa: E402  (its folder is known only now)

REGION = "us-east-1"
CREDENTIALS = {"aws_access_key_id": "emulated", "aws_secret_access_key": "emulated"}
START_MAX = 30
# CloudFormation takes no more in the request itself.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
INLINE_MAX = 51_200
BUCKET = "artifacts"


class Emulator:
    """A server that ends with the test."""

    # a path that it answers once it is up
    ready = "/"
    # whether a template may be longer in a request than CloudFormation allows
    takes_long_templates = False

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        command, variables = self.command(port)
        environment = {"PATH": os.environ["PATH"], **variables}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.server = subprocess.Popen(command, env=environment, **quiet)
        self.wait()

    def command(self, port):
        """What starts it on a port: the command line, and variables of the environment."""
        raise NotImplementedError

    def accepted(self, template):
        """What it takes of template.yaml's expansion."""
        raise NotImplementedError

    def wait(self):
        """Until it answers."""
        end = time.monotonic() + START_MAX
        while True:
            try:
                urllib.request.urlopen(self.endpoint + self.ready, timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                if self.server.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(f"{type(self).__name__} does not start") from None
                time.sleep(0.1)

    def stop(self):
        """Ends the server."""
        self.server.kill()
        self.server.wait()

    def client(self, service, region=REGION):
        """A client for one of its services."""
        return boto3.client(service, endpoint_url=self.endpoint, region_name=region, **CREDENTIALS)

    def deploy(self, name, template):
        """Makes a stack of a template, and gives its outputs."""
        cloudformation, body = self.client("cloudformation"), json.dumps(template, separators=(",", ":"))
        source = {"TemplateBody": body}
        if len(body) > INLINE_MAX and not self.takes_long_templates:
            self.client("s3").put_object(Bucket=BUCKET, Key=f"{name}.json", Body=body.encode())
            source = {"TemplateURL": f"{self.endpoint}/{BUCKET}/{name}.json"}
        cloudformation.create_stack(StackName=name, Capabilities=["CAPABILITY_IAM"], **source)
        end = time.monotonic() + START_MAX
        while (stack := cloudformation.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"] == "CREATE_IN_PROGRESS":
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        if stack["StackStatus"] != "CREATE_COMPLETE":
            raise RuntimeError(f"{name} is {stack['StackStatus']}: {stack.get('StackStatusReason')}")
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def deploy_pipeline(self, name):
        """Makes a stack of template.yaml, and gives its outputs."""
        bucket = self.client("s3")
        bucket.create_bucket(Bucket=BUCKET)
        bucket.put_object(Bucket=BUCKET, Key="function.zip", Body=b"")
        expanded = json.loads((ROOT / "target/infra/expanded.json").read_text(encoding="utf-8"))
        return self.deploy(name, self.accepted(expanded))

    def penstock(self, *arguments, stack="shop", region=REGION, environment=CREDENTIALS):
        """Runs the command on a stack, with nothing of the environment but what is given."""
        target = ["--stack", stack, "--endpoint", self.endpoint, *(["--region", region] if region else [])]
        variables = {key.upper(): value for key, value in environment.items()}
        # no file of whoever runs this, and no metadata service
        nothing = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}
        variables = {"PATH": os.environ["PATH"], **nothing, **variables}
        folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
        command = [ROOT / folder / "debug" / "penstock", *arguments, *target]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)


class Moto(Emulator):
    """moto: of .venv, because cfn-lint's and SAM's pins allow it."""

    ready = "/moto-api/data.json"
    # it looks for a template's URL in the wrong bucket
    takes_long_templates = True

    def command(self, port):
        return [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)], {}

    def accepted(self, template):
        # it keeps a place for `AWS::NoValue` in a list, and looks numbers up in a mapping as numbers, where keys are texts
        template["Resources"] = Stack(template, BY_DEFAULT).resources
        template["Parameters"]["RetentionHours"] |= {"Type": "String", "Default": "24"}
        return template


class Ministack(Emulator):
    """ministack: of a folder of its own, tests/emulator/requirements.txt."""

    ready = "/_ministack/health"

    def command(self, port):
        # without an address of its own it listens to the whole network
        variables = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
        return [str(ROOT / ".venv-ministack/bin/ministack")], variables

    def accepted(self, template):
        # a stack fails with it that has an alarm on an expression of several metrics
        resources = template["Resources"].items()
        template["Resources"] = {name: it for name, it in resources if "Metrics" not in it.get("Properties", {})}
        return template
