"""A new group, as `penstock new group` and docs/consumer-group.md make it, as far as it changes what deploys."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = "template.yaml"
APP = "infra/cdk/bin/penstock.ts"
BLOCK = "infra/cli/src/new/group.yaml"

# What a group may be, with what the line of the CDK app says beside its name.
KINDS = {"handler": "", "projection": ", { projection: true }"}


def block(kind):
    """The resources and the outputs of a group of that kind: the lines of all kinds, and its own without their marker."""
    lines = []
    for line in (ROOT / BLOCK).read_text(encoding="utf-8").splitlines(keepends=True):
        marked = re.match(r"( *)#(handler|projection)(?: (.*))?$", line, re.DOTALL)
        if marked is None:
            lines.append(line)
        elif marked[2] == kind:
            lines.append(marked[1] + marked[3] if marked[3] else "\n")
    return "".join(lines).split("\nOutputs:\n")


def follow(folder, kind):
    """Writes the template and the CDK app into `folder`, with a new group of that kind."""
    resources, outputs = block(kind)
    template = (ROOT / TEMPLATE).read_text(encoding="utf-8")
    template = template.replace("\nOutputs:\n", f"\n{resources}\nOutputs:\n", 1) + outputs
    page = (ROOT / "docs/consumer-group.md").read_text(encoding="utf-8")
    app = (ROOT / APP).read_text(encoding="utf-8")
    for file, text in ((TEMPLATE, template), (APP, app)):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    for diff in re.findall(r"```diff\n(.*?)```", page, re.DOTALL):
        subprocess.run(["git", "apply", "--recount", "-"], cwd=folder, input=diff, text=True, check=True)
    call = "addConsumerGroup('order-receipts'"
    app = (folder / APP).read_text(encoding="utf-8").replace(call, call + KINDS[kind])
    (folder / APP).write_text(app, encoding="utf-8")
