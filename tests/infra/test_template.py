"""The template keeps every rule, and every rule notices a template that does not."""

import copy
import json
import pathlib
import sys
import tempfile
import unittest

import cfnlint.api

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import expand
import page
import rules
import watching
from faults import FAULTS

ROOT = pathlib.Path(__file__).resolve().parents[2]


class TemplateTest(unittest.TestCase):
    """The template as it is, and with faults planted."""

    @classmethod
    def setUpClass(cls):
        cls.source = expand.read(ROOT / "template.yaml")
        cls.expanded = expand.expand(cls.source)

    def test_the_template_keeps_every_rule(self):
        self.assertEqual(rules.findings(self.expanded), {})

    def test_each_planted_fault_is_noticed_by_its_rule_and_no_other(self):
        for rule, fault, plant in FAULTS:
            with self.subTest(rule=rule, fault=fault):
                template = copy.deepcopy(self.expanded)
                plant(template)
                self.assertEqual(list(rules.findings(template)), [rule])

    def test_every_rule_has_a_planted_fault(self):
        self.assertEqual({rule for rule, _, _ in FAULTS}, {rule.__name__ for rule in rules.RULES})

    def test_every_page_of_the_runbook_belongs_to_an_alarm(self):
        described = json.dumps(self.expanded["Resources"])
        pages = [page for page in watching.RUNBOOK.glob("*.md") if page.name != "README.md"]
        self.assertEqual([page.name for page in pages if f"docs/runbook/{page.name}" not in described], [])
        self.assertGreater(len(pages), 10)

    def test_a_new_group_of_either_kind_keeps_every_rule(self):
        for kind in page.KINDS:
            with self.subTest(kind=kind), tempfile.TemporaryDirectory() as folder:
                page.follow(pathlib.Path(folder), kind)
                expanded = expand.expand(expand.read(pathlib.Path(folder) / page.TEMPLATE))
                self.assertIn("OrderReceiptsGroup", expanded["Outputs"])
                self.assertEqual("OrderReceiptsState" in expanded["Resources"], kind == "projection")
                self.assertEqual(rules.findings(expanded), {})

    def test_a_role_that_sam_makes_is_noticed(self):
        source = copy.deepcopy(self.source)
        del source["Resources"]["OrderAlertsRole"]
        del source["Resources"]["OrderAlerts"]["Properties"]["Role"]
        found = rules.findings(expand.expand(source))["policies_name_what_they_allow"]
        self.assertIn("AWSLambdaKinesisExecutionRole", "\n".join(found))

    def test_cfn_lint_finds_in_the_expansion_what_it_misses_in_the_source(self):
        source = copy.deepcopy(self.source)
        stream = source["Resources"]["OrderStatus"]["Properties"]["Events"]["Stream"]["Properties"]
        stream["ParallelizationFactor"] = 11
        config = cfnlint.api.ManualArgs(regions=[expand.REGION])
        found = [
            [match.rule.id for match in cfnlint.api.lint(json.dumps(template), config=config)]
            for template in (source, expand.expand(source))
        ]
        self.assertEqual(found, [[], ["E3034"]])


if __name__ == "__main__":
    unittest.main()
