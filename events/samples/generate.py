#!/usr/bin/env python3
"""Writes the sample orders: orders.ndjson, and what should become of them, orders.expected.json.

A morning of a shop that delivers within hours, as its webshop and its warehouse told it: each order's events in their
order, spread between those of other orders. Some lines are sent again later, some are no events, and some tell of steps
that an order cannot take. The same bytes come out on every run and every Python from 3.10 on: of `random` only
`random()` is used, whose sequence for a seed is promised to stay.

    generate.py           write both files
    generate.py --check   exit 1 if they are not what would be written
"""

import collections
import datetime
import heapq
import json
import pathlib
import random
import sys
import uuid

import reckon

HERE = pathlib.Path(__file__).resolve().parent
LINES = 1000
SENT_TWICE = 25
OPENING = datetime.datetime(2026, 11, 2, 7, 0, tzinfo=datetime.timezone.utc)
WEB, WAREHOUSE = "shop/web", "shop/warehouse"

CATALOGUE = [
    ("SKU-FILTER-PAPER", 450),
    ("SKU-BEANS-ETHIOPIA", 1490),
    ("SKU-BEANS-HOUSE", 1190),
    ("SKU-CUP-PAIR", 2400),
    ("SKU-KETTLE", 7900),
    ("SKU-GRINDER", 18900),
    ("SKU-ESPRESSO-MACHINE", 64900),
]
CARRIERS = ["Blue Van", "Cargo Bike Co", "Northern Post"]
NAMES = ["A. Okafor", "B. Lindqvist", "C. Moreau", "D. Tanaka", "E. Novak", "the neighbour"]

# Share of orders that go this way; the rest are delivered.
CANCELLED_UNPAID, CANCELLED_PAID = 0.09, 0.08
UNPAID_REASONS = ["customer", "out_of_stock", "payment_failed"]
PAID_REASONS = ["customer", "fraud", "out_of_stock"]

DELIVERED = ["placed", "paid", "shipped", "delivered"]

# By order number: steps that order-status refuses, one each. What follows them is legal again.
ILLEGAL = {
    12: ["placed", "shipped", "paid", "shipped", "delivered"],  # shipped before it was paid
    37: ["placed", "cancelled", "delivered"],  # delivered after it was cancelled
    64: ["placed", "paid", "paid", "shipped", "delivered"],  # paid twice
    98: ["placed", "paid", "shipped", "cancelled", "delivered"],  # cancelled on its way
    131: ["paid"],  # paid, and never placed
    165: ["placed", "placed", "paid", "shipped", "delivered"],  # placed twice
}
# By order number: placed with a negative total, which order-alerts refuses. To order-status it is an order like any.
NEGATIVE = {51: -1200, 117: -50, 180: -64900}

# Seconds until the step, at least and at most.
DELAYS = {
    "placed": (5, 20),
    "paid": (20, 600),
    "shipped": (300, 1800),
    "delivered": (900, 3000),
    "cancelled": (60, 900),
}


class Shop:
    """Makes orders and their events."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def below(self, n):
        """An integer from 0 to n - 1."""
        return int(self.random.random() * n)

    def pick(self, items):
        """One of `items`."""
        return items[self.below(len(items))]

    def unique_id(self):
        """A UUID of version 4."""
        return str(uuid.UUID(bytes=bytes(self.below(256) for _ in range(16)), version=4))

    def steps(self, number):
        """The steps that order `number` takes."""
        if number in ILLEGAL:
            return ILLEGAL[number]
        if number in NEGATIVE:
            return ["placed"]
        way = self.random.random()
        if way < CANCELLED_UNPAID:
            return ["placed", "cancelled"]
        if way < CANCELLED_UNPAID + CANCELLED_PAID:
            return ["placed", "paid", "cancelled"]
        return DELIVERED

    def basket(self):
        """What is bought: one to four kinds of goods, and now and then the outfit of a whole café."""
        scale = 4 if self.random.random() < 0.04 else 1
        count = 1 + self.below(4)
        # squared: what is cheap, and stands first, sells more
        chosen = sorted({int(len(CATALOGUE) * self.random.random() ** 2) for _ in range(count)})
        return [
            {"sku": sku, "quantity": scale * (1 + self.below(2)), "unit_price_cents": price}
            for sku, price in (CATALOGUE[n] for n in chosen)
        ]

    def order(self, number, at):
        """The events of order `number`, the first one at `at`, as (time, event)."""
        order_id = f"ORDER-{number:06}"
        items = self.basket()
        total = sum(item["quantity"] * item["unit_price_cents"] for item in items)
        total = NEGATIVE.get(number, total)
        unpaid = True
        for n, step in enumerate(self.steps(number)):
            if n > 0:
                least, most = DELAYS[step]
                at += datetime.timedelta(milliseconds=1000 * least + self.below(1000 * (most - least)))
            reason = self.pick(UNPAID_REASONS if unpaid else PAID_REASONS)
            unpaid = unpaid and step != "paid"
            source, data = self.fact(step, order_id, total, items, reason)
            yield at, self.event(source, step, order_id, at, data)

    def fact(self, step, order_id, total, items, reason):
        """Who tells of a step, and what they say."""
        match step:
            case "placed":
                customer = f"CUST-{self.below(400):05}"
                more = {"customer_id": customer, "currency": "EUR", "total_cents": total, "items": items}
            case "paid":
                method = self.pick(["card", "card", "wallet", "bank_transfer"])
                more = {"payment_id": f"PAY-{self.unique_id()[:8]}", "amount_cents": total, "method": method}
            case "shipped":
                more = {"carrier": self.pick(CARRIERS), "tracking": f"TRK{self.below(10**9):09}"}
            case "delivered":
                more = {"signed_by": self.pick(NAMES)} if self.below(2) else {}
            case "cancelled":
                more = {"reason": reason}
        warehouse = step in ("shipped", "delivered") or more.get("reason") == "out_of_stock"
        return WAREHOUSE if warehouse else WEB, {"order_id": order_id, **more}

    def event(self, source, step, order_id, at, data):
        """A CloudEvent."""
        return {
            "specversion": "1.0",
            "id": self.unique_id(),
            "source": source,
            "type": f"shop.order.{step}",
            "subject": order_id,
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "partitionkey": order_id,
            "datacontenttype": "application/json",
            "dataschema": f"urn:penstock:schema:shop.order.{step}:1",
            "data": data,
        }

    def morning(self, count):
        """The first `count` events of all orders in the order of time. What comes after is cut off, so that the last
        orders are still on their way."""
        told, happened = [], []
        at, number = OPENING, 0
        while len(happened) < count:
            at += datetime.timedelta(milliseconds=self.below(66_000))
            number += 1
            for n, (when, event) in enumerate(self.order(number, at)):
                heapq.heappush(told, (when, number, n, event))
            # no later order can tell of anything before now
            while told and told[0][0] <= at:
                happened.append(heapq.heappop(told)[-1])
        return happened[:count]


def compact(event):
    """An event on one line."""
    return json.dumps(event, separators=(",", ":"))


def not_events(shop):
    """Lines that the edge has to refuse. Each would be the first event of an order that nothing else tells of."""
    whole = []
    for number in range(900_001, 900_009):
        (_, event), *_ = shop.order(number, OPENING + datetime.timedelta(hours=1))
        whole.append(event)
    lines = [compact(whole[0])[:120]]
    del whole[1]["id"]
    whole[2]["specversion"] = "0.3"
    whole[3]["id"] = ""
    del whole[4]["type"]
    del whole[5]["source"]
    whole[6]["partitionkey"] = "ORDER\u0000" + whole[6]["subject"][6:]
    nested = []
    for _ in range(100):
        nested = [nested]
    whole[7]["data"]["gift_wrapping"] = nested
    return lines + [compact(event) for event in whole[1:]]


def orders():
    """The 1,000 lines."""
    shop = Shop(seed=20261102)
    refused = not_events(shop)
    events = shop.morning(LINES - SENT_TWICE - len(refused))
    odd = {f"ORDER-{number:06}" for number in (*ILLEGAL, *NEGATIVE)}
    # (after which event, in which rank there, line)
    placed = [(n, 0, compact(event)) for n, event in enumerate(events)]
    for n, line in enumerate(refused):
        placed.append((60 + n * 110 + shop.below(60), 1, line))
    twice = set()
    while len(twice) < SENT_TWICE:
        n = shop.below(len(events) - 150)
        # a second copy of what a group refuses would be refused again and not be a duplicate
        if events[n]["subject"] not in odd:
            twice.add(n)
    for n in sorted(twice):
        # most clients send again at once, some a good while later
        gap = shop.below(3) if shop.below(3) else 10 + shop.below(120)
        placed.append((n + gap, 2, compact(events[n])))
    return [line for _, _, line in sorted(placed)]


def files():
    """Name and text of what this script writes."""
    lines = orders()
    expected = reckon.expected(lines)
    assert_intended(lines, expected)
    return {
        "orders.ndjson": "".join(line + "\n" for line in lines),
        "orders.expected.json": json.dumps(expected, indent=2) + "\n",
    }


def assert_intended(lines, expected):
    """What reckon.py makes of the lines is what was put into them."""
    status, alerts = expected["groups"]["order-status"], expected["groups"]["order-alerts"]
    assert len(lines) == LINES
    assert collections.Counter(x["code"] for x in expected["refused_at_the_edge"]) == {
        "malformed_json": 1,
        "missing_attribute": 3,
        "unsupported_specversion": 1,
        "invalid_attribute": 2,
        "too_deep": 1,
    }
    assert status["duplicates"] == alerts["duplicates"] == SENT_TWICE
    assert {x["subject"] for x in status["dead_letters"]} == {f"ORDER-{n:06}" for n in ILLEGAL}
    assert {x["subject"] for x in alerts["dead_letters"]} == {f"ORDER-{n:06}" for n in NEGATIVE}
    assert len(status["dead_letters"]) == len(ILLEGAL) and len(alerts["dead_letters"]) == len(NEGATIVE)
    for group in (status, alerts):
        settled = group["handled"] + group["duplicates"] + len(group["dead_letters"])
        assert settled == expected["accepted"] == LINES - len(expected["refused_at_the_edge"])
    assert all(count > 0 for count in (*expected["orders"].values(), *expected["alerts"].values()))


def main(arguments):
    """Writes, or checks."""
    stale = []
    for name, text in files().items():
        path = HERE / name
        if arguments == ["--check"]:
            if not path.exists() or path.read_bytes() != text.encode():
                stale.append(name)
        else:
            path.write_bytes(text.encode())
    if stale:
        sys.exit(f"not what generate.py writes: {', '.join(stale)}")
    print(reckon.table(json.loads(files()["orders.expected.json"])))


if __name__ == "__main__":
    main(sys.argv[1:])
