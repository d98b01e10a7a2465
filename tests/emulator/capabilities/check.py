"""A check is a function that drives a service and raises what it got wrong."""

import os

import boto3
from botocore.config import Config

CHECKS = {}
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def check(service):
    """Puts a function among the checks of a service; its docstring is the capability's name."""

    def add(function):
        CHECKS.setdefault(service, []).append(function)
        return function

    return add


class Account:
    """Where the services are. No call is tried twice: what an emulator says first is what counts."""

    def __init__(self, endpoint, region="us-east-1"):
        self.endpoint, self.region = endpoint, region
        config = Config(retries={"total_max_attempts": 1}, read_timeout=40, connect_timeout=3)
        self.arguments = {"endpoint_url": endpoint, "region_name": region, "config": config, **CREDENTIALS}
        self.clients = {}

    def client(self, service):
        """A client, made once."""
        if service not in self.clients:
            self.clients[service] = boto3.client(service, **self.arguments)
        return self.clients[service]


def fresh(what):
    """A name that nothing has yet."""
    return f"{what}-{os.urandom(4).hex()}"


def same(found, wanted, what=""):
    """Found is what was wanted."""
    if found != wanted:
        raise AssertionError(f"{what}{': ' if what else ''}{found!r}, wanted {wanted!r}")


def refused(code, call, **arguments):
    """The call is refused with this code, as the SDK reads it."""
    try:
        answer = call(**arguments)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is compared)
        found = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        if found not in ([code] if isinstance(code, str) else code):
            raise AssertionError(f"refused with {found}: {str(error)[:160]}, wanted {code}") from None
        return error
    answer.pop("ResponseMetadata", None)
    raise AssertionError(f"not refused with {code}: {str(answer)[:160]}")
