"""DynamoDB, with the expressions of `ProgressTable`, `WindowTable`, `StateTable` and `RedriveItems`."""

import concurrent.futures
import contextlib
import time

from check import check, fresh, refused, same

CONDITION = "ConditionalCheckFailedException"
TTL_WAIT = 75


@contextlib.contextmanager
def table(account, sort=False):
    """A table for one check, with `pk`, and `sk` if it sorts."""
    dynamodb, name = account.client("dynamodb"), fresh("t")
    keys = [("pk", "HASH"), *([("sk", "RANGE")] if sort else [])]
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    try:
        yield dynamodb, name
    finally:
        with contextlib.suppress(Exception):
            dynamodb.delete_table(TableName=name)


def begin(dynamodb, name, key="g/s/shard"):
    """`ProgressTable::begin`."""
    return dynamodb.update_item(
        TableName=name,
        Key={"pk": {"S": key}},
        UpdateExpression="ADD #epoch :one, #attempts :one SET #commit = :zero, #v = if_not_exists(#v, :v)",
        ExpressionAttributeNames={"#epoch": "epoch", "#attempts": "attempts", "#commit": "commit", "#v": "v"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":zero": {"N": "0"}, ":v": {"N": "1"}},
        ReturnValues="ALL_NEW",
    )["Attributes"]


def commit(dynamodb, name, epoch, number, suspect=None, key="g/s/shard"):
    """`ProgressTable::commit`."""
    names = ["commit", "epoch", "position", "failures", "attempts", "at", "suspect", "suspicions", "ahead_from"]
    values = {
        ":commit": {"N": str(number)},
        ":epoch": {"N": str(epoch)},
        ":position": {"S": "0" * 20 + "49" + "1" * 54 + ".0000000004"},
        ":failures": {"M": {"49" + "1" * 54 + ".2": {"N": "1"}}},
        ":attempts": {"N": "0"},
        ":at": {"N": "1700000000123"},
    }
    sets = ["#commit = :commit", "#position = :position", "#failures = :failures", "#attempts = :attempts", "#at = :at"]
    gone = ["#ahead_from"]
    if suspect:
        sets += ["#suspect = :suspect", "#suspicions = :suspicions"]
        values |= {":suspect": {"S": suspect}, ":suspicions": {"N": "1"}}
    else:
        gone += ["#suspect", "#suspicions"]
    dynamodb.update_item(
        TableName=name,
        Key={"pk": {"S": key}},
        ConditionExpression="#epoch = :epoch AND #commit <= :commit",
        UpdateExpression=f"SET {', '.join(sets)} REMOVE {', '.join(gone)}",
        ExpressionAttributeNames={f"#{n}": n for n in names},
        ExpressionAttributeValues=values,
    )


@check("dynamodb")
def begins(account):
    """UpdateItem with ADD, SET, if_not_exists and ALL_NEW"""
    with table(account) as (dynamodb, name):
        same(begin(dynamodb, name)["epoch"], {"N": "1"})
        wanted = {"pk": {"S": "g/s/shard"}, "epoch": {"N": "2"}, "attempts": {"N": "2"}, "commit": {"N": "0"}, "v": {"N": "1"}}
        same(begin(dynamodb, name), wanted)


@check("dynamodb")
def commits_and_fences(account):
    """UpdateItem with a condition, SET and REMOVE, and its refusal by an older epoch or commit"""
    with table(account) as (dynamodb, name):
        begin(dynamodb, name)
        commit(dynamodb, name, 1, 1, suspect="p")
        commit(dynamodb, name, 1, 1, suspect="p")
        commit(dynamodb, name, 1, 2)
        item = dynamodb.get_item(TableName=name, Key={"pk": {"S": "g/s/shard"}}, ConsistentRead=True)["Item"]
        same(("suspect" in item, item["commit"], list(item["failures"]["M"].values())), (False, {"N": "2"}, [{"N": "1"}]))
        refused(CONDITION, commit, dynamodb=dynamodb, name=name, epoch=1, number=1)
        begin(dynamodb, name)
        refused(CONDITION, commit, dynamodb=dynamodb, name=name, epoch=1, number=3)
        refused(CONDITION, commit, dynamodb=dynamodb, name=name, epoch=1, number=3, key="nobody")


@check("dynamodb")
def one_of_many_begins_each_epoch(account):
    """50 updates at once: no epoch is given twice"""
    with table(account) as (dynamodb, name), concurrent.futures.ThreadPoolExecutor(10) as threads:
        epochs = [int(item["epoch"]["N"]) for item in threads.map(lambda _: begin(dynamodb, name), range(50))]
        same(sorted(epochs), list(range(1, 51)))


@check("dynamodb")
def compares_numbers_and_texts(account):
    """Conditions compare numbers as numbers and texts as texts"""
    with table(account) as (dynamodb, name):
        key = {"pk": {"S": "k"}}
        dynamodb.put_item(TableName=name, Item={**key, "given_up": {"S": "0009"}, "revision": {"N": "10"}})
        update = {"TableName": name, "Key": key, "UpdateExpression": "SET #given_up = :last, #v = if_not_exists(#v, :v)"}
        update |= {"ExpressionAttributeNames": {"#given_up": "given_up", "#v": "v"}}
        update |= {"ConditionExpression": "attribute_not_exists(#given_up) OR #given_up < :last"}
        dynamodb.update_item(**update, ExpressionAttributeValues={":last": {"S": "0010"}, ":v": {"N": "1"}})
        refused(CONDITION, dynamodb.update_item, **update, ExpressionAttributeValues={":last": {"S": "0010"}, ":v": {"N": "1"}})
        arguments = {"TableName": name, "Item": key, "ConditionExpression": "#revision < :over"}
        refused(CONDITION, dynamodb.put_item, **arguments, ExpressionAttributeNames={"#revision": "revision"},
                ExpressionAttributeValues={":over": {"N": "9"}})


@check("dynamodb")
def puts_on_a_revision(account):
    """PutItem on `attribute_not_exists` and on a revision, and its refusal"""
    with table(account) as (dynamodb, name):
        item = {"pk": {"S": "ORDER-1"}, "revision": {"N": "1"}, "state": {"S": "{}"}}
        new = {"ConditionExpression": "attribute_not_exists(#pk)", "ExpressionAttributeNames": {"#pk": "pk"}}
        dynamodb.put_item(TableName=name, Item=item, **new)
        refused(CONDITION, dynamodb.put_item, TableName=name, Item=item, **new)
        over = {"ConditionExpression": "#revision = :over", "ExpressionAttributeNames": {"#revision": "revision"}}
        over |= {"ExpressionAttributeValues": {":over": {"N": "1"}}}
        dynamodb.put_item(TableName=name, Item={**item, "revision": {"N": "2"}}, **over)
        refused(CONDITION, dynamodb.put_item, TableName=name, Item=item, **over)
        found = dynamodb.get_item(TableName=name, Key={"pk": item["pk"]}, ConsistentRead=True)["Item"]
        same(found, {**item, "revision": {"N": "2"}}, "read back")


@check("dynamodb")
def keeps_what_is_empty(account):
    """An attribute may be an empty binary: every segment and state has some"""
    with table(account) as (dynamodb, name):
        item = {"pk": {"S": "k"}, "handled": {"B": b""}, "failures": {"M": {}}}
        dynamodb.put_item(TableName=name, Item=item)
        same(dynamodb.get_item(TableName=name, Key={"pk": {"S": "k"}}, ConsistentRead=True)["Item"], item)


@check("dynamodb")
def queries_in_pages(account):
    """Query backwards between two sort keys, ConsistentRead, a page a mebibyte"""
    with table(account, sort=True) as (dynamodb, name):
        for part in range(5):
            key = {"pk": {"S": "k"}, "sk": {"S": f"{7:020}/{part:06}"}}
            dynamodb.put_item(TableName=name, Item={**key, "handled": {"B": b"x" * 300_000}})
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "k"}, "sk": {"S": "r/1"}})
        query = {"TableName": name, "ConsistentRead": True, "ScanIndexForward": False}
        query |= {"KeyConditionExpression": "#pk = :pk AND #sk BETWEEN :sk AND :end"}
        query |= {"ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"}}
        first, last = {"S": f"{7:020}/{1:06}"}, {"S": "9" * 20 + "/999999"}
        query |= {"ExpressionAttributeValues": {":pk": {"S": "k"}, ":sk": first, ":end": last}}
        pages, start = [], {}
        while True:
            page = dynamodb.query(**query, **start)
            pages.append([item["sk"]["S"][-1] for item in page["Items"]])
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        same(sum(pages, []), ["4", "3", "2", "1"])
        same(len(pages), 2, "pages")


@check("dynamodb")
def many_digits(account):
    """Numbers of 38 digits stay as they are"""
    with table(account) as (dynamodb, name):
        digits = "9" * 38
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "k"}, "n": {"N": digits}})
        same(dynamodb.get_item(TableName=name, Key={"pk": {"S": "k"}})["Item"]["n"], {"N": digits})


@check("dynamodb")
def item_size(account):
    """An item of more than 400 KB is ValidationException"""
    with table(account) as (dynamodb, name):
        item = {"pk": {"S": "k"}, "b": {"B": b"x" * 410_000}}
        refused("ValidationException", dynamodb.put_item, TableName=name, Item=item)


@check("dynamodb")
def judges_statements_alone(account):
    """BatchExecuteStatement judges each conditional write alone"""
    with table(account) as (dynamodb, name):
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "revision": {"N": "1"}})
        update = f'UPDATE "{name}" SET "revision"=? WHERE "pk"=? AND "revision"=?'
        insert = f"INSERT INTO \"{name}\" VALUE {{'pk': ?, 'revision': ?}}"
        one, two = {"N": "1"}, {"N": "2"}
        answers = dynamodb.batch_execute_statement(Statements=[
            {"Statement": update, "Parameters": [two, {"S": "a"}, one]},
            {"Statement": update, "Parameters": [two, {"S": "b"}, one]},
            {"Statement": insert, "Parameters": [{"S": "c"}, one]},
        ])["Responses"]
        same([answer.get("Error", {}).get("Code") for answer in answers], [None, "ConditionalCheckFailed", None])
        same(dynamodb.get_item(TableName=name, Key={"pk": {"S": "a"}})["Item"]["revision"], two)


@check("dynamodb")
def missing_table(account):
    """A table that is not there is ResourceNotFoundException"""
    refused("ResourceNotFoundException", account.client("dynamodb").get_item, TableName="gone", Key={"pk": {"S": "k"}})


@check("dynamodb")
def time_to_live_is_kept(account):
    """UpdateTimeToLive is read back"""
    with table(account) as (dynamodb, name):
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"})
        found = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        same((found["TimeToLiveStatus"], found.get("AttributeName")), ("ENABLED", "expires_at"))


@check("slow")
def expired_items_go(account):
    """An expired item is deleted within 75 s"""
    with table(account) as (dynamodb, name):
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"})
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "k"}, "expires_at": {"N": str(int(time.time()) - 100)}})
        end = time.monotonic() + TTL_WAIT
        while time.monotonic() < end:
            if "Item" not in dynamodb.get_item(TableName=name, Key={"pk": {"S": "k"}}):
                return
            time.sleep(5)
        raise AssertionError("still there")
