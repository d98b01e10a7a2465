"""Schemas, samples and payloads hold together: the sample orders are what their script writes, and keep their schemas."""

import base64
import gzip
import hashlib
import json
import pathlib
import subprocess
import sys
import unittest

import jsonschema

EVENTS = pathlib.Path(__file__).resolve().parents[2] / "events"
SAMPLES = EVENTS / "samples"
SCHEMAS = {
    f"urn:penstock:schema:{path.parent.name}:{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(EVENTS.glob("schemas/*/[0-9]*.json"))
}


def lines():
    """The lines of orders.ndjson that the edge accepts."""
    expected = json.loads((SAMPLES / "orders.expected.json").read_text(encoding="utf-8"))
    refused = {entry["line"] for entry in expected["refused_at_the_edge"]}
    text = (SAMPLES / "orders.ndjson").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if number not in refused:
            yield f"orders.ndjson:{number}", json.loads(line)


def single():
    """The events that stand in files of their own."""
    yield "one.json", json.loads((SAMPLES / "one.json").read_text(encoding="utf-8"))
    for n, event in enumerate(json.loads((SAMPLES / "batch.json").read_text(encoding="utf-8"))):
        yield f"batch.json/{n}", event


def payload(name):
    """A Lambda payload."""
    return json.loads((EVENTS / "payloads" / name).read_text(encoding="utf-8"))


def header(request, name):
    """A header's value, whatever the case of its name."""
    return next((value for key, value in request["headers"].items() if key.lower() == name), None)


def body_of(request):
    """The body as it was sent."""
    return base64.b64decode(request["body"], validate=True) if request["isBase64Encoded"] else request["body"].encode()


def events_of(request):
    """The events of an HTTP request, by its mode."""
    body, kind = body_of(request), header(request, "content-type")
    body = json.loads(gzip.decompress(body) if header(request, "content-encoding") == "gzip" else body)
    if kind == "application/cloudevents-batch+json":
        return body
    if kind == "application/cloudevents+json":
        return [body]
    attributes = {key.lower()[3:]: value for key, value in request["headers"].items() if key.lower().startswith("ce-")}
    return [{**attributes, "datacontenttype": kind, "data": body}]


class SchemasTest(unittest.TestCase):
    """The schemas themselves, and the samples' data against them."""

    def test_every_schema_is_one_and_is_called_by_its_place(self):
        self.assertEqual(len(SCHEMAS), 6)
        for name, schema in SCHEMAS.items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)
                self.assertEqual(schema["$id"], name)
                self.assertEqual(schema["$schema"], jsonschema.Draft202012Validator.META_SCHEMA["$id"])

    def test_every_sample_keeps_the_schema_that_it_names(self):
        checked = 0
        for place, event in [*lines(), *single()]:
            with self.subTest(place):
                self.assertEqual(event["dataschema"], f"urn:penstock:schema:{event['type']}:1")
                jsonschema.Draft202012Validator(SCHEMAS[event["dataschema"]]).validate(event["data"])
                self.assertEqual({event["subject"], event["partitionkey"]}, {event["data"]["order_id"]})
                checked += 1
        self.assertEqual(checked, 992 + 4)

    def test_data_of_another_shape_breaks_its_schema(self):
        for place, event in single():
            required = SCHEMAS[event["dataschema"]]["required"]
            schema = jsonschema.Draft202012Validator(SCHEMAS[event["dataschema"]])
            for name in event["data"]:
                with self.subTest(place, without=name):
                    data = {key: value for key, value in event["data"].items() if key != name}
                    self.assertEqual(schema.is_valid(data), name not in required)
                    self.assertFalse(schema.is_valid({**event["data"], name: None}))


class SamplesTest(unittest.TestCase):
    """The generated files and what README.md says of them."""

    @classmethod
    def setUpClass(cls):
        command = [sys.executable, str(SAMPLES / "generate.py"), "--check"]
        cls.check = subprocess.run(command, capture_output=True, text=True, check=False)

    def test_the_files_are_what_the_script_writes(self):
        self.assertEqual((self.check.returncode, self.check.stderr), (0, ""))

    def test_the_readme_has_the_counts(self):
        self.assertIn(self.check.stdout, (SAMPLES / "README.md").read_text(encoding="utf-8"))


class PayloadsTest(unittest.TestCase):
    """The payloads are what Lambda would send, down to the digests."""

    def test_each_http_payload_carries_the_events_of_its_name(self):
        one = dict(single())["one.json"]
        batch = json.loads((SAMPLES / "batch.json").read_text(encoding="utf-8"))
        expected = {"structured": [one], "binary": [one], "batch-gzip": batch}
        found = sorted(path.stem for edge in ("apigw-v2", "url", "rest") for path in (EVENTS / "payloads").glob(f"{edge}-*.json"))
        self.assertEqual(len(found), 1 + 3 + 3)
        for name in found:
            with self.subTest(name):
                request = payload(f"{name}.json")
                events = next(events for mode, events in expected.items() if name.endswith(mode))
                self.assertEqual(events_of(request), events)

    def test_the_http_payloads_are_shaped_as_their_edge_shapes_them(self):
        for path in sorted((EVENTS / "payloads").glob("*.json")):
            edge = path.stem.rpartition("-")[0].removesuffix("-batch")
            if edge not in ("apigw-v2", "url", "rest"):
                continue
            with self.subTest(path.stem):
                request = payload(path.name)
                headers, context, kind = request["headers"], request["requestContext"], header(request, "content-type")
                if edge == "rest":
                    self.assertNotIn("version", request)
                    self.assertEqual(request["multiValueHeaders"], {name: [value] for name, value in headers.items()})
                    self.assertEqual(context["path"], f"/{context['stage']}{request['path']}")
                    self.assertEqual(request["httpMethod"], "POST")
                    self.assertEqual(context["identity"]["sourceIp"], header(request, "x-forwarded-for"))
                    self.assertEqual(request["isBase64Encoded"], kind == "application/cloudevents-batch+json")
                    continue
                self.assertEqual((request["version"], context["http"]["method"]), ("2.0", "POST"))
                self.assertEqual((request["rawPath"], context["http"]["path"]), ("/v1/events", "/v1/events"))
                self.assertEqual(request["routeKey"], "$default" if edge == "url" else "POST /v1/events")
                self.assertEqual(list(headers), sorted(name.lower() for name in headers))
                self.assertEqual(headers["content-length"], str(len(body_of(request))))
                self.assertEqual(headers["host"], context["domainName"])
                self.assertEqual(request["isBase64Encoded"], kind != "application/json")

    def test_the_kinesis_batch_holds_an_aggregate_an_event_and_garbage(self):
        records = [record["kinesis"] for record in payload("kinesis-batch.json")["Records"]]
        aggregate, event, garbage = (base64.b64decode(record["data"], validate=True) for record in records)
        self.assertEqual(aggregate[:4], bytes.fromhex("f3899ac2"))
        self.assertEqual(hashlib.md5(aggregate[4:-16]).digest(), aggregate[-16:])
        self.assertEqual(aggregate.count(b'"specversion":"1.0"'), 2)
        self.assertEqual(json.loads(event)["partitionkey"], records[1]["partitionKey"])
        self.assertRaises(UnicodeDecodeError, garbage.decode)
        # all of it belongs on the first of two shards
        for record in records[:2]:
            self.assertLess(int.from_bytes(hashlib.md5(record["partitionKey"].encode()).digest(), "big"), 2**127)

    def test_the_queue_message_carries_the_notice_of_that_batch(self):
        (message,) = payload("sqs.json")["Records"]
        self.assertEqual(json.loads(message["body"]), payload("kinesis-on-failure.json"))
        self.assertEqual(hashlib.md5(message["body"].encode()).hexdigest(), message["md5OfBody"])
        numbers = [record["kinesis"]["sequenceNumber"] for record in payload("kinesis-batch.json")["Records"]]
        info = payload("kinesis-on-failure.json")["KinesisBatchInfo"]
        self.assertEqual([info["startSequenceNumber"], info["endSequenceNumber"]], [numbers[0], numbers[-1]])


if __name__ == "__main__":
    unittest.main()
