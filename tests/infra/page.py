"""docs/consumer-group.md, followed to the letter as far as it changes what deploys."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = "template.yaml"
APP = "infra/cdk/bin/penstock.ts"


def follow(folder):
    """Writes the template and the CDK app into `folder`, with the group of the page."""
    page = (ROOT / "docs/consumer-group.md").read_text(encoding="utf-8")
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("yaml", "diff")}
    for file in (TEMPLATE, APP):
        text = (ROOT / file).read_text(encoding="utf-8")
        if file == TEMPLATE:
            text = text.replace("\nOutputs:\n", "\n" + "".join(blocks["yaml"]) + "Outputs:\n", 1)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    for diff in blocks["diff"]:
        subprocess.run(["git", "apply", "--recount", "-"], cwd=folder, input=diff, text=True, check=True)
