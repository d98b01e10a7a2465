"""The CDK app makes what the template makes, keeps its rules, and neither can move alone."""

import copy
import json
import pathlib
import sys
import tempfile
import unittest

import cfnlint.api

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import cdk
import expand
import page
import parity
import rules
from faults import FAULTS
from stack import Chosen

FUNCTIONS = ["Ingest", "Recover", "OrderStatus", "OrderAlerts"]

# Where the two may differ, and why. An entry that nothing needs fails the test.
ALLOWED = {
    **{f"Resources/{name}/Properties/Code": "each uploads the code in its own way" for name in FUNCTIONS},
    **{f"Resources/{name}/Properties/Tags": "SAM tags what it makes" for name in FUNCTIONS},
    "Resources/HttpApi/Properties/Body/tags": "SAM tags what it makes",
    "Resources/HttpApiApiGatewayDefaultStage/Properties/Tags": "SAM tags what it makes",
    "Parameters/BootstrapVersion": "the CDK asks whether the account is bootstrapped",
    "Rules/CheckBootstrapVersion": "the CDK asks whether the account is bootstrapped",
    "Rules/FunctionsAreBuilt": "keeps a template with stubs from being deployed; SAM always builds",
}

# Another value for every setting.
OTHER = {
    "architecture": "x86_64",
    "streamMode": "ON_DEMAND",
    "shardCount": 7,
    "retentionHours": 48,
    "giveUpAfterSeconds": 3600,
    "enhancedFanOut": True,
    "batchSize": 250,
    "windowHorizonSeconds": 1800,
    "patienceSeconds": 90,
    "fingerprintKey": "a-key-of-its-own",
    "requestsPerSecond": 200,
    "requestsBurst": 300,
    "ingestConcurrency": 40,
    "putSeconds": 8,
    "undeclaredTypes": "reject",
    "kmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/of-my-own",
    "tableDeletionProtection": True,
    "logLevel": "debug",
    "logShare": 0.25,
    "otlpEndpoint": "http://localhost:4318",
    "traceShare": 0.5,
    "logRetentionDays": 90,
    "alarmTopicArn": "arn:aws:sns:us-east-1:000000000000:told",
    "lagAlarmMilliseconds": 120_000,
}

# What the settings come to in resources, by default and with the other values.
BY_DEFAULT = Chosen(
    deletion_protection=False,
    fingerprint_key={"Ref": "AWS::StackId"},
    alarm_actions=None,
    reserves_concurrency=False,
    architecture="arm64",
)
OTHERWISE = Chosen(
    deletion_protection=True,
    fingerprint_key=OTHER["fingerprintKey"],
    alarm_actions=[OTHER["alarmTopicArn"]],
    reserves_concurrency=True,
    architecture=OTHER["architecture"],
    key=OTHER["kmsKeyArn"],
    fans_out=True,
)

# Faults that are planted in a parameter of SAM's, or in what it comes to.
OF_SAM_ALONE = {
    "age at retention",
    "an age that Lambda refuses",
    "a retention without an age",
    "any age instead",
    "patient for half a minute",
}


def parameter(setting):
    """The parameter of the template for a setting of the constructs."""
    return setting[0].upper() + setting[1:]


def compared(expanded, synthesized, settings=None, allowed=ALLOWED):
    """What is wrong between an expansion and a CDK template."""
    found = parity.differences(parity.of_sam(expanded, settings), parity.of_cdk(synthesized))
    return list(parity.judged(found, allowed))


def leaves(value, path=()):
    """The path of every text, number and truth value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None:
        yield path
    for key, member in members or ():
        yield from leaves(member, (*path, key))


def replaced(value, path):
    """`value` with another text at `path`."""
    if not path:
        return "moved"
    copied = copy.copy(value)
    copied[path[0]] = replaced(value[path[0]], path[1:])
    return copied


@unittest.skipUnless((cdk.APP / "node_modules").is_dir(), "the CDK app is not installed: tests/infra/run does it")
class CdkTest(unittest.TestCase):
    """The app as it is, by default and with every setting changed, and with faults planted."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.expanded = expand.expand(expand.read(cdk.ROOT / "template.yaml"))
        cls.synthesized, cls.said = cdk.synthesize()
        cls.otherwise, _ = cdk.synthesize(**OTHER)

    def test_it_makes_what_the_template_makes(self):
        self.assertEqual(compared(self.expanded, self.synthesized), [])

    def test_it_makes_what_the_template_makes_with_every_setting_changed(self):
        settings = {parameter(name): value for name, value in OTHER.items()}
        self.assertEqual(settings.keys(), self.expanded["Parameters"].keys())
        for name, value in settings.items():
            self.assertNotEqual(parity.scalar(value), parity.scalar(self.expanded["Parameters"][name]["Default"]), name)
        self.assertEqual(compared(self.expanded, self.otherwise, settings), [])

    def test_its_settings_have_the_ranges_and_defaults_of_the_parameters(self):
        def comparable(given, default, least, most, values):
            numbers = [given[key] if key in given else None for key in (default, least, most)]
            return [number if number is None else parity.scalar(number) for number in numbers] + [
                sorted(map(parity.scalar, given.get(values, [])))
            ]

        of_sam = {
            name: comparable(given, "Default", "MinValue", "MaxValue", "AllowedValues")
            for name, given in self.expanded["Parameters"].items()
        }
        of_cdk = {parameter(name): comparable(given, "default", "min", "max", "allowed") for name, given in cdk.ranges().items()}
        self.assertEqual(of_cdk, of_sam)

    def test_a_mapping_gives_up_at_the_same_age_for_every_retention(self):
        ages = {hours: row["GiveUpAfterSeconds"] for hours, row in self.expanded["Mappings"]["Retention"].items()}
        self.assertEqual(cdk.give_up_ages(), ages)

    def test_it_keeps_every_rule(self):
        self.assertEqual(rules.findings(parity.as_rules_read(self.synthesized), BY_DEFAULT), {})
        self.assertEqual(rules.findings(parity.as_rules_read(self.otherwise), OTHERWISE), {})

    def test_each_fault_that_the_rules_know_is_noticed_in_it(self):
        read = parity.as_rules_read(self.otherwise)
        planted = [fault for fault in FAULTS if fault[1] not in OF_SAM_ALONE]
        self.assertEqual(len(planted), len(FAULTS) - len(OF_SAM_ALONE))
        for rule, fault, plant in planted:
            with self.subTest(rule=rule, fault=fault):
                template = copy.deepcopy(read)
                plant(template)
                self.assertEqual(list(rules.findings(template, OTHERWISE)), [rule])

    def test_neither_side_can_move_alone(self):
        sides = {
            "SAM": (self.expanded, lambda moved: compared(moved, self.synthesized)),
            "CDK": (self.synthesized, lambda moved: compared(self.expanded, moved)),
        }
        moves = [
            ("a value", "OrderStatusStream", lambda of: of["Properties"].update(ParallelizationFactor=2), "ParallelizationFactor"),
            ("a property less", "Events", lambda of: of["Properties"].pop("StreamEncryption"), "StreamEncryption"),
            ("a property more", "GiveUps", lambda of: of["Properties"].update(DelaySeconds=1), "DelaySeconds"),
            ("a variable", "OrderAlerts", lambda of: of["Properties"]["Environment"]["Variables"].update(NEW="1"), "NEW"),
            ("a right", "RecoverRole", lambda of: of["Properties"]["Policies"][0].update(PolicyName="x"), "PolicyName"),
            ("what is kept", "Window", lambda of: of.update(DeletionPolicy="Delete"), "DeletionPolicy"),
            ("a threshold", "OrderAlertsDurationAlarm", lambda of: of["Properties"].update(Threshold=1), "Threshold"),
            ("another type", "Alerts", lambda of: of.update(Type="AWS::SNS::Topic"), "Type"),
        ]
        for side, (template, compare) in sides.items():
            ids = {name: logical_id for logical_id, name in parity.named(template).items()} if side == "CDK" else {}
            for what, name, move, place in moves:
                with self.subTest(side=side, what=what):
                    moved = copy.deepcopy(template)
                    move(moved["Resources"][ids.get(name, name)])
                    found = compare(moved)
                    self.assertEqual(len(found), 1, found)
                    self.assertRegex(found[0], rf"^Resources/{name}/.*\b{place}\b.*: SAM has ")
            for gone in ("OrderStatusRedrivePolicy", "IngestGetHealthPermission"):
                with self.subTest(side=side, gone=gone):
                    moved = copy.deepcopy(template)
                    del moved["Resources"][ids.get(gone, gone)]
                    self.assertTrue([line for line in compare(moved) if line.startswith(f"Resources/{gone}: ")])
            with self.subTest(side=side, what="an output"):
                moved = copy.deepcopy(template)
                moved["Outputs"]["StreamName"]["Value"] = "x"
                self.assertRegex("\n".join(compare(moved)), "^Outputs/StreamName/Value: ")

    def test_whatever_changes_in_a_resource_of_either_side_is_noticed(self):
        sam, of_cdk = parity.of_sam(self.expanded), parity.of_cdk(self.synthesized)
        defaults = {name: given["Default"] for name, given in self.expanded["Parameters"].items()}
        for side, normal, other in [
            ("SAM", parity.Normal(self.expanded, {}, defaults), of_cdk),
            ("CDK", parity.Normal(self.synthesized, parity.named(self.synthesized), {}), sam),
        ]:
            changed = 0
            for logical_id, resource in normal.template["Resources"].items():
                name = normal.names.get(logical_id, logical_id)
                if not normal.is_made(resource):
                    continue
                for path in leaves(resource["Properties"]):
                    at = "/".join(map(str, ("Resources", name, "Properties", *path)))
                    # The branch of a condition that is not taken is compared where it is: with every setting changed.
                    if "Fn::If" in path or any(at.startswith(entry) for entry in ALLOWED):
                        continue
                    moved = normal.resource({**resource, "Properties": replaced(resource["Properties"], path)})
                    self.assertNotEqual(moved, other["Resources"][name], f"{side}: {at}")
                    changed += 1
            self.assertGreater(changed, 800, side)

    def test_a_new_group_of_either_kind_is_one_line_here(self):
        for kind in page.KINDS:
            with self.subTest(kind=kind):
                self.same_with_a_new_group(kind)

    def same_with_a_new_group(self, kind):
        """Template and app are equal, and keep the rules, with a group of that kind."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            page.follow(folder, kind)
            expanded = expand.expand(expand.read(folder / page.TEMPLATE))
            app = folder / page.APP
            for file in ("bin/context.ts", "lib", "node_modules", "package.json", "stub"):
                (app.parents[1] / file).symlink_to(cdk.APP / file)
            synthesized, _ = cdk.synthesize(app)
        allowed = {name.replace("OrderAlerts", "OrderReceipts"): reason for name, reason in ALLOWED.items()} | ALLOWED
        self.assertIn("OrderReceipts", expanded["Resources"])
        self.assertEqual(compared(expanded, synthesized, allowed=allowed), [])
        self.assertEqual(rules.findings(parity.as_rules_read(synthesized), BY_DEFAULT), {})

    def test_an_entry_of_the_list_that_nothing_needs_is_named(self):
        found = parity.differences(parity.of_sam(self.expanded), parity.of_cdk(self.synthesized))
        unused = list(parity.judged(found, ALLOWED | {"Resources/Alerts/Properties": "no reason"}))
        self.assertEqual(unused, ["Resources/Alerts/Properties: allowed to differ (no reason), and does not"])

    def test_cfn_lint_finds_nothing_but_the_rule_that_never_holds(self):
        config = cfnlint.api.ManualArgs(regions=[expand.REGION])
        for template in (self.synthesized, self.otherwise):
            found = cfnlint.api.lint(json.dumps(template), config=config)
            self.assertEqual([(match.rule.id, match.path[:2]) for match in found], [("W8003", ["Rules", "FunctionsAreBuilt"])])

    def test_a_template_with_stubs_says_so_and_is_not_deployed(self):
        self.assertEqual(self.said.count("this template cannot be deployed"), len(FUNCTIONS), self.said)
        self.assertIn("FunctionsAreBuilt", self.synthesized["Rules"])


if __name__ == "__main__":
    unittest.main()
