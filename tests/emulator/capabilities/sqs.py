"""SQS, with the calls of `DeadLetterQueue`, the give-ups, the event source and the operator."""

import contextlib
import json
import time

from check import check, fresh, refused, same

MEBIBYTE = 2**20
MISSING = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class Queues:
    """Queues for one check."""

    def __init__(self, account):
        self.sqs, self.urls = account.client("sqs"), []

    def make(self, **attributes):
        """A queue: its URL and its ARN."""
        url = self.sqs.create_queue(QueueName=fresh("q"), Attributes=attributes)["QueueUrl"]
        self.urls.append(url)
        return url, self.attributes(url)["QueueArn"]

    def attributes(self, url):
        """What it says of itself."""
        names = ["QueueArn", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]

    def counts(self, url):
        """Visible, and in flight."""
        found = self.attributes(url)
        return int(found["ApproximateNumberOfMessages"]), int(found["ApproximateNumberOfMessagesNotVisible"])

    def receive(self, url, **more):
        """One receive."""
        arguments = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, **more}
        return self.sqs.receive_message(QueueUrl=url, **arguments).get("Messages", [])


@contextlib.contextmanager
def queues(account):
    """Queues for one check."""
    made = Queues(account)
    try:
        yield made
    finally:
        for url in made.urls:
            with contextlib.suppress(Exception):
                made.sqs.delete_queue(QueueUrl=url)


def entries(bodies):
    """Entries of a SendMessageBatch, as a group sends its letters."""
    attributes = {"group": {"DataType": "String", "StringValue": "g"}, "code": {"DataType": "String", "StringValue": "refused"}}
    return [{"Id": str(n), "MessageBody": body, "MessageAttributes": attributes} for n, body in enumerate(bodies)]


@check("sqs")
def sends_batches(account):
    """SendMessageBatch of ten with attributes, received whole"""
    with queues(account) as q:
        url, _ = q.make()
        sent = q.sqs.send_message_batch(QueueUrl=url, Entries=entries([f"body {n}" for n in range(10)]))
        same((len(sent["Successful"]), sent.get("Failed", [])), (10, []))
        found = q.receive(url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
        found += q.receive(url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]) if len(found) < 10 else []
        same(sorted(message["Body"] for message in found), sorted(f"body {n}" for n in range(10)))
        same({message["MessageAttributes"]["group"]["StringValue"] for message in found}, {"g"})
        same({message["Attributes"]["ApproximateReceiveCount"] for message in found}, {"1"})


@check("sqs")
def refuses_eleven(account):
    """A batch of eleven is refused whole"""
    with queues(account) as q:
        url, _ = q.make()
        code = ("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest")
        refused(code, q.sqs.send_message_batch, QueueUrl=url, Entries=entries(["x"] * 11))


@check("sqs")
def takes_a_mebibyte(account):
    """A message, and a batch, of 1 MiB is taken and read back"""
    with queues(account) as q:
        url, _ = q.make(MaximumMessageSize=str(MEBIBYTE))
        body = "x" * (MEBIBYTE - 1024)
        same(q.sqs.send_message_batch(QueueUrl=url, Entries=entries([body])).get("Failed", []), [])
        same(q.sqs.send_message_batch(QueueUrl=url, Entries=entries(["y" * 500_000] * 2)).get("Failed", []), [])
        found = []
        for _ in range(4):
            found += q.receive(url)
        same(sorted(len(message["Body"]) for message in found), [500_000, 500_000, len(body)])


@check("sqs")
def refuses_more_than_a_mebibyte(account):
    """A message or a batch of more than 1 MiB is refused"""
    with queues(account) as q:
        url, _ = q.make(MaximumMessageSize=str(MEBIBYTE))
        refused(("InvalidParameterValue", "AWS.SimpleQueueService.BatchRequestTooLong", "BatchRequestTooLong"),
                q.sqs.send_message_batch, QueueUrl=url, Entries=entries(["x" * 600_000] * 2))
        codes = ("InvalidParameterValue", "InvalidParameterValueException")
        refused(codes, q.sqs.send_message, QueueUrl=url, MessageBody="x" * (MEBIBYTE + 1))


@check("sqs")
def foreign_characters(account):
    """Control characters as JSON has them come back as they were"""
    with queues(account) as q:
        url, _ = q.make()
        body = json.dumps({"reason": "\x1b[2J\u0000 ü 🚰 \ufffe"})
        q.sqs.send_message(QueueUrl=url, MessageBody=body)
        same(q.receive(url)[0]["Body"], body)


@check("sqs")
def counts(account):
    """GetQueueAttributes counts visible and in-flight messages and gives the ARN"""
    with queues(account) as q:
        url, arn = q.make()
        same(arn.split(":")[2], "sqs")
        q.sqs.send_message_batch(QueueUrl=url, Entries=entries(["a", "b", "c"]))
        same(q.counts(url), (3, 0))
        q.receive(url, MaxNumberOfMessages=1)
        same(q.counts(url), (2, 1))


@check("sqs")
def receives_for_a_while(account):
    """A receive with a visibility time-out of its own; the message comes again after it"""
    with queues(account) as q:
        url, _ = q.make()
        q.sqs.send_message(QueueUrl=url, MessageBody="a")
        same(len(q.receive(url, VisibilityTimeout=2)), 1)
        same(q.receive(url, WaitTimeSeconds=0), [])
        time.sleep(2.2)
        same(len(q.receive(url)), 1)


@check("sqs")
def waits(account):
    """A long poll ends when a message arrives"""
    with queues(account) as q:
        url, _ = q.make()
        began = time.monotonic()
        same(q.receive(url, WaitTimeSeconds=2), [])
        same(time.monotonic() - began > 1.5, True, "waits")


@check("sqs")
def puts_back(account):
    """ChangeMessageVisibilityBatch to 0 puts messages back at once"""
    with queues(account) as q:
        url, _ = q.make()
        q.sqs.send_message_batch(QueueUrl=url, Entries=entries(["a", "b"]))
        found = q.receive(url, VisibilityTimeout=30)
        batch = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"], "VisibilityTimeout": 0} for n, m in enumerate(found)]
        answer = q.sqs.change_message_visibility_batch(QueueUrl=url, Entries=batch)
        same((len(answer["Successful"]), answer.get("Failed", [])), (len(found), []))
        same(q.counts(url), (2, 0))


@check("sqs")
def deletes_batches(account):
    """DeleteMessageBatch empties the queue"""
    with queues(account) as q:
        url, _ = q.make()
        q.sqs.send_message_batch(QueueUrl=url, Entries=entries(["a", "b"]))
        found = q.receive(url)
        batch = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(found)]
        same(len(q.sqs.delete_message_batch(QueueUrl=url, Entries=batch)["Successful"]), 2)
        same(q.counts(url), (0, 0))


@check("sqs")
def redrives_after_three(account):
    """After maxReceiveCount a message goes to the dead-letter queue, with its attributes"""
    with queues(account) as q:
        dead, dead_arn = q.make()
        url, _ = q.make(RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 3}), VisibilityTimeout="0")
        q.sqs.send_message_batch(QueueUrl=url, Entries=entries(["a"]))
        taken = sum(len(q.receive(url, WaitTimeSeconds=0)) for _ in range(8))
        same(taken, 3, "receives")
        (found,) = q.receive(dead, MessageAttributeNames=["All"])
        same((found["Body"], found["MessageAttributes"]["code"]["StringValue"]), ("a", "refused"))


@check("sqs")
def lists_sources(account):
    """ListDeadLetterSourceQueues names the queues that redrive to it"""
    with queues(account) as q:
        dead, dead_arn = q.make()
        url, _ = q.make(RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 3}))
        same(q.sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [url])


@check("sqs")
def moves_with_a_destination(account):
    """StartMessageMoveTask with DestinationArn moves what was sent straight to a dead-letter queue"""
    with queues(account) as q:
        dead, dead_arn = q.make()
        url, arn = q.make(RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 3}))
        q.sqs.send_message_batch(QueueUrl=dead, Entries=entries(["a", "b", "c"]))
        q.sqs.start_message_move_task(SourceArn=dead_arn, DestinationArn=arn)
        end = time.monotonic() + 10
        while q.counts(url)[0] < 3 and time.monotonic() < end:
            time.sleep(0.3)
        same((q.counts(dead), q.counts(url)), ((0, 0), (3, 0)), "source, destination")
        (task,) = q.sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"]
        same(task["Status"], "COMPLETED")
        same({m["MessageAttributes"]["group"]["StringValue"] for m in q.receive(url, MessageAttributeNames=["All"])}, {"g"})


@check("sqs")
def moves_from_dead_letter_queues_only(account):
    """StartMessageMoveTask refuses a source that is nobody's dead-letter queue"""
    with queues(account) as q:
        (_, source), (_, target) = q.make(), q.make()
        refused(("InvalidParameterValue", "InvalidParameterValueException", "AWS.SimpleQueueService.UnsupportedOperation"),
                q.sqs.start_message_move_task, SourceArn=source, DestinationArn=target)


@check("sqs")
def missing_queue(account):
    """A queue that is not there is QueueDoesNotExist"""
    with queues(account) as q:
        url, _ = q.make()
        refused(MISSING, q.sqs.get_queue_url, QueueName=fresh("gone"))
        refused(MISSING, q.sqs.send_message, QueueUrl=f"{url}-gone", MessageBody="x")
