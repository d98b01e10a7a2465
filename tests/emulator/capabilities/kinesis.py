"""Kinesis, with the calls of `KinesisStream`, `KinesisShards`, the event source, the audit and the metrics."""

import concurrent.futures
import contextlib
import datetime
import time

from check import check, fresh, refused, same

WAIT_MAX = 15
HASH_MAX = 2**128 - 1


def active(kinesis, name):
    """Waits until a stream is ready."""
    end = time.monotonic() + WAIT_MAX
    while (status := kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"]) != "ACTIVE":
        if time.monotonic() > end:
            raise AssertionError(f"{name} stays {status}")
        time.sleep(0.2)


@contextlib.contextmanager
def stream(account, shards=2):
    """A stream for one check."""
    kinesis, name = account.client("kinesis"), fresh("s")
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    active(kinesis, name)
    try:
        yield kinesis, name
    finally:
        with contextlib.suppress(Exception):
            kinesis.delete_stream(StreamName=name)


def listed(kinesis, name):
    """All shards."""
    return kinesis.list_shards(StreamName=name)["Shards"]


def open_shards(kinesis, name):
    """Those without an end."""
    return [shard for shard in listed(kinesis, name) if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]


def put(kinesis, name, hashes, data=b"{}"):
    """Puts a record on each hash key."""
    records = [{"PartitionKey": "key", "ExplicitHashKey": str(value), "Data": data} for value in hashes]
    answer = kinesis.put_records(StreamName=name, Records=records)
    same(answer["FailedRecordCount"], 0, "failed")
    return answer["Records"]


def start(shard):
    """Its first hash key."""
    return int(shard["HashKeyRange"]["StartingHashKey"])


def iterator(kinesis, name, shard, kind="TRIM_HORIZON", **more):
    """A shard iterator."""
    return kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"]


def read(kinesis, name, shard, kind="TRIM_HORIZON", **more):
    """What lies from an iterator on, a few pages of it."""
    here, records = iterator(kinesis, name, shard, kind, **more), []
    for _ in range(4):
        page = kinesis.get_records(ShardIterator=here, Limit=1000)
        records += page["Records"]
        here = page.get("NextShardIterator")
        if here is None:
            break
    return records


@check("kinesis")
def describes_by_name(account):
    """CreateStream, DescribeStream, DescribeStreamSummary by name"""
    with stream(account) as (kinesis, name):
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        same(summary["OpenShardCount"], 2)
        description = kinesis.describe_stream(StreamName=name)["StreamDescription"]
        same(len(description["Shards"]), 2)
        same(description["StreamARN"].rsplit("/", 1)[1], name)


@check("kinesis")
def describes_by_arn(account):
    """DescribeStreamSummary and ListShards by ARN"""
    with stream(account) as (kinesis, name):
        arn = kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
        same(kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]["StreamName"], name)
        same(len(kinesis.list_shards(StreamARN=arn)["Shards"]), 2)


@check("kinesis")
def on_demand(account):
    """An ON_DEMAND stream without a shard count"""
    kinesis, name = account.client("kinesis"), fresh("s")
    kinesis.create_stream(StreamName=name, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    active(kinesis, name)
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    same(summary["StreamModeDetails"]["StreamMode"], "ON_DEMAND")
    same(summary["OpenShardCount"], 4)
    kinesis.delete_stream(StreamName=name)


@check("kinesis")
def deleting_nothing_deletes_nothing(account):
    """DeleteStream of a stream that is not there leaves alone one that is made after it"""
    kinesis, name = account.client("kinesis"), fresh("s")
    refused("ResourceNotFoundException", kinesis.delete_stream, StreamName=name, EnforceConsumerDeletion=True)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    active(kinesis, name)
    time.sleep(1)
    active(kinesis, name)
    kinesis.delete_stream(StreamName=name)


@check("kinesis")
def retention(account):
    """IncreaseStreamRetentionPeriod is read back"""
    with stream(account) as (kinesis, name):
        kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
        same(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["RetentionPeriodHours"], 48)


@check("kinesis")
def lists_in_pages(account):
    """ListShards in pages, the next by its token alone"""
    with stream(account, shards=5) as (kinesis, name):
        page = kinesis.list_shards(StreamName=name, MaxResults=2)
        found = [shard["ShardId"] for shard in page["Shards"]]
        same(len(found), 2, "first page")
        while "NextToken" in page:
            page = kinesis.list_shards(NextToken=page["NextToken"])
            found += [shard["ShardId"] for shard in page["Shards"]]
        same(len(set(found)), 5)


@check("kinesis")
def partitions_the_hash_space(account):
    """Shards cover all hash keys without a gap"""
    with stream(account, shards=3) as (kinesis, name):
        ranges = sorted((start(shard), int(shard["HashKeyRange"]["EndingHashKey"])) for shard in listed(kinesis, name))
        same((ranges[0][0], ranges[-1][1]), (0, HASH_MAX))
        for (_, end), (following, _) in zip(ranges, ranges[1:], strict=False):
            same(following, end + 1)


@check("kinesis")
def routes_by_explicit_hash_key(account):
    """PutRecords with ExplicitHashKey puts each on its shard, in order"""
    with stream(account) as (kinesis, name):
        first, second = sorted(listed(kinesis, name), key=start)
        hashes = [start(first), start(second) + 1, start(first) + 1, HASH_MAX - 1, start(second) - 2]
        stored = put(kinesis, name, hashes)
        wanted = [first, second, first, second, first]
        same([record["ShardId"] for record in stored], [shard["ShardId"] for shard in wanted])
        for shard in (first, second):
            numbers = [record["SequenceNumber"] for record in read(kinesis, name, shard["ShardId"])]
            same(numbers, [r["SequenceNumber"] for r in stored if r["ShardId"] == shard["ShardId"]], shard["ShardId"])


@check("kinesis")
def routes_the_last_hash_key(account):
    """PutRecords with the last hash key of a shard puts it there"""
    with stream(account) as (kinesis, name):
        shards = listed(kinesis, name)
        stored = put(kinesis, name, [shard["HashKeyRange"]["EndingHashKey"] for shard in shards])
        same([record["ShardId"] for record in stored], [shard["ShardId"] for shard in shards])


@check("kinesis")
def numbers_rise(account):
    """Sequence numbers rise within a shard"""
    with stream(account, shards=1) as (kinesis, name):
        numbers = [record["SequenceNumber"] for _ in range(3) for record in put(kinesis, name, [0] * 20)]
        same(sorted(set(numbers), key=int), numbers, "order")


@check("kinesis")
def numbers_have_56_digits(account):
    """Sequence numbers have 56 digits"""
    with stream(account, shards=1) as (kinesis, name):
        same({len(record["SequenceNumber"]) for record in put(kinesis, name, [0] * 20)}, {56})


@check("kinesis")
def reads_from_every_iterator(account):
    """TRIM_HORIZON, LATEST, AT_TIMESTAMP, AT and AFTER a sequence number"""
    with stream(account, shards=1) as (kinesis, name):
        shard = listed(kinesis, name)[0]["ShardId"]
        before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)
        latest = iterator(kinesis, name, shard, "LATEST")
        stored = [record["SequenceNumber"] for record in put(kinesis, name, [0] * 3)]
        for kind, more, wanted in [
            ("TRIM_HORIZON", {}, stored),
            ("AT_TIMESTAMP", {"Timestamp": before}, stored),
            ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": stored[1]}, stored[1:]),
            ("AFTER_SEQUENCE_NUMBER", {"StartingSequenceNumber": stored[1]}, stored[2:]),
        ]:
            same([record["SequenceNumber"] for record in read(kinesis, name, shard, kind, **more)], wanted, kind)
        same([r["SequenceNumber"] for r in kinesis.get_records(ShardIterator=latest)["Records"]], stored, "LATEST")


@check("kinesis")
def arrival_has_milliseconds(account):
    """ApproximateArrivalTimestamp is about now, with milliseconds"""
    with stream(account, shards=1) as (kinesis, name):
        shard = listed(kinesis, name)[0]["ShardId"]
        for _ in range(4):
            put(kinesis, name, [0])
            time.sleep(0.013)
        times = [record["ApproximateArrivalTimestamp"] for record in read(kinesis, name, shard)]
        ages = [abs((datetime.datetime.now(datetime.UTC) - at).total_seconds()) for at in times]
        same([age < 5 for age in ages], [True] * 4, "age")
        if not any(at.microsecond for at in times):
            raise AssertionError("whole seconds")


@check("kinesis")
def an_older_number_reads_on(account):
    """AT and AFTER a number between records that are there give those behind it"""
    with stream(account, shards=1) as (kinesis, name):
        shard = listed(kinesis, name)[0]
        stored = [record["SequenceNumber"] for record in put(kinesis, name, [0] * 2)]
        first = shard["SequenceNumberRange"]["StartingSequenceNumber"]
        for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            found = [r["SequenceNumber"] for r in read(kinesis, name, shard["ShardId"], kind, StartingSequenceNumber=first)]
            same(found, stored, f"{kind} of the shard's start")


@check("kinesis")
def numbers_are_numbers(account):
    """AT and AFTER take a number without the zeros before it, as Penstock writes it"""
    with stream(account, shards=1) as (kinesis, name):
        shard = listed(kinesis, name)[0]["ShardId"]
        stored = [record["SequenceNumber"] for record in put(kinesis, name, [0] * 3)]
        for kind, wanted in (("AT_SEQUENCE_NUMBER", stored[1:]), ("AFTER_SEQUENCE_NUMBER", stored[2:])):
            found = read(kinesis, name, shard, kind, StartingSequenceNumber=stored[1].lstrip("0"))
            same([record["SequenceNumber"] for record in found], wanted, kind)


@check("kinesis")
def a_foreign_number_is_refused(account):
    """A number that the shard cannot have is InvalidArgumentException"""
    with stream(account, shards=1) as (kinesis, name):
        shard = listed(kinesis, name)[0]["ShardId"]
        put(kinesis, name, [0])
        for number in ("49" + "0" * 54, "9" * 56, "1"):
            arguments = {"StreamName": name, "ShardId": shard, "StartingSequenceNumber": number}
            kind = "AFTER_SEQUENCE_NUMBER"
            refused("InvalidArgumentException", kinesis.get_shard_iterator, ShardIteratorType=kind, **arguments)


@check("kinesis")
def a_missing_shard_is_not_found(account):
    """A shard or stream that is not there is ResourceNotFoundException"""
    with stream(account, shards=1) as (kinesis, name):
        more = {"ShardIteratorType": "TRIM_HORIZON"}
        for place in ((name, "shardId-000000000077"), ("gone", "shardId-000000000000")):
            arguments = dict(zip(("StreamName", "ShardId"), place, strict=True))
            refused("ResourceNotFoundException", kinesis.get_shard_iterator, **arguments, **more)
        refused("ResourceNotFoundException", kinesis.put_records, StreamName="gone", Records=[{"PartitionKey": "k", "Data": b"x"}])


@check("kinesis")
def a_wrong_iterator_is_refused(account):
    """A made-up iterator is InvalidArgumentException or ExpiredIteratorException"""
    with stream(account, shards=1) as (kinesis, _):
        refused(("InvalidArgumentException", "ExpiredIteratorException"), kinesis.get_records, ShardIterator="AAAA" * 40)


@check("kinesis")
def an_iterator_lives_on(account):
    """An iterator at the tip is followed by one that reads what comes later"""
    with stream(account, shards=1) as (kinesis, name):
        shard = listed(kinesis, name)[0]["ShardId"]
        page = kinesis.get_records(ShardIterator=iterator(kinesis, name, shard))
        same(page["Records"], [])
        stored = [record["SequenceNumber"] for record in put(kinesis, name, [0] * 2)]
        page = kinesis.get_records(ShardIterator=page["NextShardIterator"], Limit=1)
        same([record["SequenceNumber"] for record in page["Records"]], stored[:1], "a page of one")
        page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
        same([record["SequenceNumber"] for record in page["Records"]], stored[1:], "the next")


@check("kinesis")
def millis_behind(account):
    """MillisBehindLatest is above 0 behind and 0 at the tip"""
    with stream(account, shards=1) as (kinesis, name):
        shard = listed(kinesis, name)[0]["ShardId"]
        put(kinesis, name, [0])
        time.sleep(1.2)
        put(kinesis, name, [0])
        page = kinesis.get_records(ShardIterator=iterator(kinesis, name, shard), Limit=1)
        behind = page.get("MillisBehindLatest")
        page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
        page = page if not page["Records"] else kinesis.get_records(ShardIterator=page["NextShardIterator"])
        same(page.get("MillisBehindLatest"), 0, "at the tip")
        if not behind:
            raise AssertionError(f"{behind!r} a second behind the tip")


@check("kinesis")
def a_mebibyte_fits(account):
    """A record of 1 MiB with its key is taken and read back; more is refused"""
    with stream(account, shards=2) as (kinesis, name):
        size = 2**20 - len("key")
        stored = put(kinesis, name, [0], data=b"x" * size)[0]
        same(len(read(kinesis, name, stored["ShardId"])[0]["Data"]), size)
        record = {"PartitionKey": "key", "ExplicitHashKey": str(HASH_MAX), "Data": b"x" * (2**20 + 1)}
        refused(("ValidationException", "InvalidArgumentException"), kinesis.put_records, StreamName=name, Records=[record])


@check("kinesis")
def five_hundred_records(account):
    """PutRecords takes 500 records and refuses 501"""
    with stream(account, shards=1) as (kinesis, name):
        put(kinesis, name, [0] * 500)
        records = [{"PartitionKey": "k", "Data": b"x"}] * 501
        refused(("ValidationException", "InvalidArgumentException"), kinesis.put_records, StreamName=name, Records=records)


@check("kinesis")
def throttles_in_part(account):
    """Above 1,000 records a second PutRecords fails in part, throttled ones by name"""
    with stream(account, shards=1) as (kinesis, name):
        records = [{"PartitionKey": "k", "Data": b"x"}] * 500
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            calls = [threads.submit(kinesis.put_records, StreamName=name, Records=records) for _ in range(16)]
        errors, stored, codes = 0, 0, set()
        for call in calls:
            try:
                answer = call.result()
            except Exception as error:  # noqa: BLE001  (a whole call that is refused)
                errors += 1
                codes.add(error.response["Error"]["Code"])
                continue
            stored += len(records) - answer["FailedRecordCount"]
            codes |= {record["ErrorCode"] for record in answer["Records"] if record.get("ErrorCode")}
        same(codes, {"ProvisionedThroughputExceededException"}, f"{stored} stored, {errors} calls refused, codes")


@check("kinesis")
def fans_out(account):
    """RegisterStreamConsumer is ACTIVE and listed"""
    with stream(account, shards=1) as (kinesis, name):
        arn = kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
        kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="group")
        end = time.monotonic() + WAIT_MAX
        while True:
            (consumer,) = kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]
            if consumer["ConsumerStatus"] == "ACTIVE" or time.monotonic() > end:
                return same(consumer["ConsumerStatus"], "ACTIVE")
            time.sleep(0.3)
