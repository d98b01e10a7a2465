"""The CDK app in `infra/cdk`, and what it synthesizes. Needs Node.js, and never an AWS account."""

import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
APP = ROOT / "infra/cdk"


def run(*command):
    """Runs a tool of the app, and gives what it printed to stdout and to stderr."""
    tool, *arguments = command
    done = subprocess.run(
        [APP / "node_modules/.bin" / tool, *arguments],
        cwd=APP,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def synthesize(app=APP / "bin/penstock.ts", **settings):
    """The template of `app` with `settings`, and what the CDK said meanwhile. Functions are stubs, whatever has been built."""
    with tempfile.TemporaryDirectory() as folder:
        context = [f"--context={name}={scalar(value)}" for name, value in settings.items()]
        nothing = pathlib.Path(folder) / "nothing-built"
        output = pathlib.Path(folder) / "cdk.out"
        options = ["--quiet", f"--app=npx tsx {app}", f"--output={output}", f"--context=functions={nothing}"]
        _, said = run("cdk", "synth", *options, *context)
        return json.loads((output / "penstock.template.json").read_text(encoding="utf-8")), said


def scalar(value):
    """`value` as the command line takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def ranges():
    """The default and the range of every setting."""
    return evaluated("RANGES")


def give_up_ages():
    """The age at which a mapping gives up, for each retention that the stream can have."""
    age = "giveUpAge({ giveUpAfterSeconds: 0, retentionHours: hours })"
    return evaluated(f"Object.fromEntries(RANGES.retentionHours.allowed.map((hours) => [hours, {age}]))")


def evaluated(expression):
    """What an expression over the settings comes to."""
    script = f"import {{ giveUpAge, RANGES }} from './lib/props.ts'; console.log(JSON.stringify({expression}))"
    return json.loads(run("tsx", "--input-type=module", "--eval", script)[0])
