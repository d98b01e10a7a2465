"""moto as an account: a server of its own on a free port, and stacks that are deployed to it."""

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
REGION = "us-east-1"
CREDENTIALS = {"aws_access_key_id": "emulated", "aws_secret_access_key": "emulated"}
START_MAX = 30


class Emulator:
    """A server that ends with the test."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        server = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
        self.server = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        """Until it answers."""
        end = time.monotonic() + START_MAX
        while True:
            try:
                urllib.request.urlopen(f"{self.endpoint}/moto-api/data.json", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                if self.server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("the emulator does not start") from None
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
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if stack["StackStatus"] != "CREATE_COMPLETE":
            raise RuntimeError(f"{name} is {stack['StackStatus']}: {stack.get('StackStatusReason')}")
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

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
