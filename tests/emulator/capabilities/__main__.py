"""What an emulator can do of what Penstock asks of AWS:
`python tests/emulator/capabilities --endpoint URL [SERVICE …]`.

Prints a line a capability, `yes` or what was wrong, and with --json the same as JSON. Nothing is retried.
"""

import argparse
import json
import sys
import time

import dynamodb  # noqa: F401  (each adds its checks)
import kinesis  # noqa: F401
import resharding  # noqa: F401
import sqs  # noqa: F401
import stack  # noqa: F401
from check import CHECKS, Account


def main():
    """Runs the checks; ends with 0 whatever they find."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--endpoint", required=True)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--only", default="")
    arguments.add_argument("services", nargs="*", metavar="SERVICE", help=f"of {', '.join(CHECKS)}")
    given = arguments.parse_args()
    account, found = Account(given.endpoint), []
    for service in given.services or [service for service in CHECKS if service != "slow"]:
        for check in CHECKS[service]:
            if given.only not in check.__name__:
                continue
            began = time.monotonic()
            try:
                check(account)
                wrong = None
            except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
                wrong = f"{type(error).__name__}: {error}".removeprefix("AssertionError: ").replace("\n", " ")[:400]
            found.append({"service": service, "check": check.__name__, "capability": check.__doc__, "wrong": wrong})
            if not given.json:
                print(f"{service:9} {check.__name__:38} {time.monotonic() - began:5.1f} s  {wrong or 'yes'}", flush=True)
    if given.json:
        json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
