"""Splits and merges, as `KinesisShards`, the event source and `penstock chaos` rely on them."""

from check import check, same
from kinesis import active, iterator, listed, open_shards, put, read, start, stream


@check("kinesis")
def splits(account):
    """SplitShard: the parent is listed and closed, both children name it"""
    with stream(account, shards=1) as (kinesis, name):
        parent = listed(kinesis, name)[0]["ShardId"]
        put(kinesis, name, [0])
        kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=str(2**127))
        active(kinesis, name)
        shards = listed(kinesis, name)
        same(len(shards), 3, "shards")
        same([s["ShardId"] for s in shards if "EndingSequenceNumber" in s["SequenceNumberRange"]], [parent], "closed")
        same([s.get("ParentShardId") for s in shards], [None, parent, parent], "parents")
        same([s["ShardId"] == parent for s in kinesis.describe_stream(StreamName=name)["StreamDescription"]["Shards"]].count(True), 1)


@check("kinesis")
def merges(account):
    """MergeShards: both parents are closed, the child names both"""
    with stream(account) as (kinesis, name):
        first, second = (shard["ShardId"] for shard in listed(kinesis, name))
        kinesis.merge_shards(StreamName=name, ShardToMerge=first, AdjacentShardToMerge=second)
        active(kinesis, name)
        shards = listed(kinesis, name)
        same([s["ShardId"] for s in shards if "EndingSequenceNumber" in s["SequenceNumberRange"]], [first, second], "closed")
        child = next(shard for shard in shards if shard["ShardId"] not in (first, second))
        same({child.get("ParentShardId"), child.get("AdjacentParentShardId")}, {first, second}, "parents")


@check("kinesis")
def a_closed_shard_ends(account):
    """A closed shard keeps its records, then gives no NextShardIterator"""
    with stream(account, shards=1) as (kinesis, name):
        parent = listed(kinesis, name)[0]["ShardId"]
        stored = [record["SequenceNumber"] for record in put(kinesis, name, [0, 2**127 + 1])]
        kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=str(2**127))
        active(kinesis, name)
        here, found = iterator(kinesis, name, parent), []
        for _ in range(6):
            page = kinesis.get_records(ShardIterator=here)
            found += [record["SequenceNumber"] for record in page["Records"]]
            here = page.get("NextShardIterator")
            if here is None:
                break
        same(found, stored, "records")
        same(here, None, "the iterator at the end")


@check("kinesis")
def an_old_iterator_ends_too(account):
    """An iterator from before the split ends too, and so does AFTER the last number"""
    with stream(account, shards=1) as (kinesis, name):
        parent = listed(kinesis, name)[0]["ShardId"]
        last = put(kinesis, name, [0])[0]["SequenceNumber"]
        tip = kinesis.get_records(ShardIterator=iterator(kinesis, name, parent))["NextShardIterator"]
        kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=str(2**127))
        active(kinesis, name)
        after = iterator(kinesis, name, parent, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=last)
        for what, here in (("from before", tip), ("AFTER the last", after)):
            for _ in range(4):
                page = kinesis.get_records(ShardIterator=here)
                same(page["Records"], [], what)
                here = page.get("NextShardIterator")
                if here is None:
                    break
            same(here, None, what)


@check("kinesis")
def child_shards(account):
    """GetRecords at a closed shard's end names ChildShards"""
    with stream(account, shards=1) as (kinesis, name):
        parent = listed(kinesis, name)[0]["ShardId"]
        put(kinesis, name, [0])
        kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=str(2**127))
        active(kinesis, name)
        here, children = iterator(kinesis, name, parent), None
        for _ in range(4):
            page = kinesis.get_records(ShardIterator=here)
            children = page.get("ChildShards") or children
            here = page.get("NextShardIterator")
            if here is None:
                break
        same(len(children or []), 2)


@check("kinesis")
def children_take_over(account):
    """After a split, and a second one, each hash key goes to its open child, with rising numbers"""
    with stream(account, shards=1) as (kinesis, name):
        parent = listed(kinesis, name)[0]["ShardId"]
        before = put(kinesis, name, [0])[0]["SequenceNumber"]
        for middle in (2**127, 2**126):
            kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=str(middle))
            active(kinesis, name)
            parent = min(open_shards(kinesis, name), key=start)["ShardId"]
        for shard in open_shards(kinesis, name):
            stored = put(kinesis, name, [start(shard), start(shard) + 1])
            same({record["ShardId"] for record in stored}, {shard["ShardId"]}, "shard")
            found = [record["SequenceNumber"] for record in read(kinesis, name, shard["ShardId"])]
            same(found, [record["SequenceNumber"] for record in stored], "read")
            same(int(before) < int(found[0]), True, "a child's numbers are above its parent's")


@check("kinesis")
def doubles_with_parents(account):
    """UpdateShardCount makes shards that name their parents"""
    with stream(account) as (kinesis, name):
        kinesis.update_shard_count(StreamName=name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
        active(kinesis, name)
        shards = open_shards(kinesis, name)
        same(len(shards), 4, "open")
        same([shard["ShardId"] for shard in shards if not shard.get("ParentShardId")], [], "without a parent")
