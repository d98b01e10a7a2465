"""What an operator's commands say of a deployed stack, and of one that is not what they think."""

import base64
import json
import unittest

from emulator import ROOT, Ministack, Moto

GOLDEN = ROOT / "events" / "golden"
QUEUE = {"Queue": {"Type": "AWS::SQS::Queue"}}


def golden(name):
    """What a release has stored."""
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def item(name):
    """A stored item, with bytes as boto3 has them."""
    return {key: {"B": base64.b64decode(value["B"])} if "B" in value else value for key, value in golden(name).items()}


class Operator:
    """One stack for all of it: `shop`, deployed from template.yaml to the emulator that a subclass names."""

    emulator = None
    # whether it finds a record by its number as Penstock writes it, without zeros before it
    finds_by_number = True

    @classmethod
    def setUpClass(cls):
        cls.account = cls.emulator()
        cls.addClassCleanup(cls.account.stop)
        cls.outputs = cls.account.deploy_pipeline("shop")
        cls.groups = {
            group["group"]: group
            for name, group in ((name, json.loads(value)) for name, value in cls.outputs.items() if name.endswith("Group"))
        }

    def said(self, *arguments, code, **target):
        """What a command writes to standard output, or its complaint if it writes nothing."""
        ran = self.account.penstock(*arguments, **target)
        self.assertEqual(ran.returncode, code, ran.stdout + ran.stderr)
        return ran.stdout or ran.stderr

    def test_1_a_new_stack_is_well(self):
        said = self.said("status", code=0)
        self.assertIn(f"stack shop, stream {self.outputs['StreamName']}", said)
        self.assertIn("nothing is wrong", said)
        status = json.loads(self.said("status", "--json", code=0))["status"]
        self.assertEqual([group["group"] for group in status["groups"]], ["order-alerts", "order-status"])
        self.assertEqual([len(group["shards"]) for group in status["groups"]], [2, 2])

    def test_2_what_is_stored_is_found(self):
        orders = self.groups["order-status"]
        dynamodb, sqs = self.account.client("dynamodb"), self.account.client("sqs")
        state = item("state-1.json")
        dynamodb.put_item(TableName=orders["states"], Item=state)
        key = state["pk"]["S"]
        found = json.loads(self.said("state", "order-status", key, "--json", code=0))
        self.assertEqual(found["state"], json.loads(state["state"]["S"]))

        letter = golden("dead-letter-1.json")
        # what is foreign stays one harmless line
        letter["reason"] = "\x1b[2Jgone\nand more"
        sqs.send_message(QueueUrl=orders["deadLetters"], MessageBody=json.dumps(letter))
        said = self.said("dlq", "list", "--group", "order-status", code=0)
        self.assertEqual(len(said.splitlines()), 1, said)
        self.assertIn(r"refused: \u{1b}[2Jgone\nand more", said)
        again = json.loads(self.said("dlq", "list", "--group", "order-status", "--json", code=0))
        self.assertEqual(base64.b64decode(again["data_base64"]), base64.b64decode(letter["data_base64"]))

        kinesis, stream = self.account.client("kinesis"), self.outputs["StreamName"]
        stored = [kinesis.put_record(StreamName=stream, PartitionKey="A", Data=b"{}") for _ in range(2)]
        first, shard = stored[0]["SequenceNumber"], stored[0]["ShardId"]
        progress = item("progress-1.json")
        progress["pk"]["S"] = f"order-status/{stream}/{shard}"
        digits = progress["position"]["S"].index(".")
        progress["position"]["S"] = f"{first.zfill(digits)}.{0:010}"
        dynamodb.put_item(TableName=self.outputs["ProgressTable"], Item=progress)
        report = json.loads(self.said("status", "--json", "--age-max", "0", code=1))
        group = next(group for group in report["status"]["groups"] if group["group"] == "order-status")
        (found,) = (entry for entry in group["shards"] if entry["shard"] == shard)
        self.assertEqual((found["epoch"], found["attempts"], found["retried"]), (7, 3, 1))
        # ministack writes numbers with zeros before them
        self.assertEqual(found["position"], f"{int(first)}.0")
        self.assertEqual(found["iterator_age_ms"] is not None, self.finds_by_number, "the second record is not settled")
        pages = {(finding["group"], finding["page"].rsplit("/", 1)[1]) for finding in report["findings"]}
        expected = {("order-status", page) for page in ("function-errors.md", "lag.md", "dead-letters.md")}
        if not self.finds_by_number:
            expected.remove(("order-status", "lag.md"))
        self.assertEqual(pages, expected | {("order-alerts", "iterator-age.md")})

    def test_3_what_is_no_stack_of_ours_is_one_clear_line(self):
        self.account.deploy("other", {"Resources": QUEUE})
        self.account.deploy("later", {"Resources": QUEUE, "Outputs": {"FormatVersion": {"Value": "2"}}})
        cases = [
            ({"stack": "other"}, "`other` is no Penstock stack: it has no output `FormatVersion`"),
            ({"stack": "later"}, "`later` has outputs of format 2, and this version reads format 1"),
            ({"stack": "gone"}, "there is no stack `gone` in us-east-1"),
            ({"region": "eu-west-1"}, "there is no stack `shop` in eu-west-1"),
            ({"region": None}, "no region is known: give --region"),
            ({"environment": {}}, "there are no AWS credentials"),
        ]
        for target, expected in cases:
            for command in (["status"], ["state", "order-status", "A"], ["dlq", "redrive", "--group", "order-status"]):
                with self.subTest(target=target, command=command[0]):
                    said = self.said(*command, code=2 if command == ["status"] else 1, **target)
                    self.assertIn(expected, said)
                    self.assertEqual(len(said.splitlines()), 1, said)

    def test_4_a_group_that_is_not_there_is_named_with_those_that_are(self):
        said = self.said("dlq", "list", "--group", "nobody", code=1)
        self.assertIn("there is no consumer group `nobody`; the groups are: order-alerts, order-status", said)
        self.assertIn("`order-alerts` is not a projection", self.said("state", "order-alerts", "A", code=1))


class OnMoto(Operator, unittest.TestCase):
    """In moto."""

    emulator = Moto


class OnMinistack(Operator, unittest.TestCase):
    """In ministack, which compares sequence numbers as texts: `status` sees nothing behind a position there."""

    emulator = Ministack
    finds_by_number = False
