"""What should become of lines of events, reckoned without Penstock: a model to hold the real thing against.

It knows the edge's rules only as far as the samples break them, and the two groups as their documentation states them.
"""

import collections
import json

REQUIRED = ["id", "source", "type"]
DEPTH_MAX = 64
LARGE_ORDER_CENTS = 100_000

# What an order can become from where it is.
STEPS = {
    None: {"placed"},
    "placed": {"paid", "cancelled"},
    "paid": {"shipped", "cancelled"},
    "shipped": {"delivered"},
    "delivered": set(),
    "cancelled": set(),
}


def depth(value):
    """Levels of nested objects and arrays."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def refusal(line):
    """The edge's code for a line that it does not take."""
    try:
        event = json.loads(line)
    except ValueError:
        return "malformed_json"
    if event.get("specversion") != "1.0":
        return "unsupported_specversion"
    for name in REQUIRED:
        if name not in event:
            return "missing_attribute"
    for name, value in event.items():
        if name != "data" and (value == "" or any(ord(c) < 0x20 for c in value)):
            return "invalid_attribute"
    return "too_deep" if depth(event) > DEPTH_MAX else None


class OrderStatus:
    """The group that keeps the state of every order."""

    def __init__(self):
        self.orders = {}

    def settle(self, step, data):
        """Takes a step, or says why it cannot be taken."""
        order = data["order_id"]
        now = self.orders.get(order)
        if step not in STEPS[now]:
            return f"an order that is {now or 'unknown'} cannot become {step}"
        self.orders[order] = step
        return None


class OrderAlerts:
    """The group that tells people of orders that need them."""

    def __init__(self):
        self.alerts = collections.Counter()

    def settle(self, step, data):
        """Alerts if it has to, or says why it cannot."""
        if step == "placed" and data["total_cents"] < 0:
            return f"order {data['order_id']} has a negative total: {data['total_cents']} cents"
        if step == "placed" and data["total_cents"] > LARGE_ORDER_CENTS:
            self.alerts["large_order"] += 1
        if step == "cancelled" and data["reason"] == "fraud":
            self.alerts["suspected_fraud"] += 1
        return None


def settled(group, accepted):
    """What `group` makes of the accepted lines: of each event once, in the order of the lines."""
    known, counts, letters = set(), collections.Counter(), []
    for number, event in accepted:
        name = (event["source"], event["id"])
        if name in known:
            counts["duplicates"] += 1
            continue
        reason = group.settle(event["type"].removeprefix("shop.order."), event["data"])
        if reason is None:
            known.add(name)
            counts["handled"] += 1
        else:
            letters.append({"line": number, "id": event["id"], "subject": event["subject"], "reason": reason})
    return {"handled": counts["handled"], "duplicates": counts["duplicates"], "dead_letters": letters}


def expected(lines):
    """What should become of `lines`: at the edge, in each group, and at the end."""
    refused, accepted = [], []
    for number, line in enumerate(lines, start=1):
        if code := refusal(line):
            refused.append({"line": number, "code": code})
        else:
            accepted.append((number, json.loads(line)))
    status, alerts = OrderStatus(), OrderAlerts()
    groups = {"order-status": settled(status, accepted), "order-alerts": settled(alerts, accepted)}
    states = collections.Counter(status.orders.values())
    return {
        "lines": len(lines),
        "refused_at_the_edge": refused,
        "accepted": len(accepted),
        "groups": groups,
        "orders": {step: states[step] for step in STEPS if step},
        "alerts": dict(sorted(alerts.alerts.items())),
    }


def table(found):
    """The counts as a table for people; README.md holds it."""
    rows = [
        ("lines", found["lines"]),
        ("refused at the edge", len(found["refused_at_the_edge"])),
        ("accepted", found["accepted"]),
    ]
    for name, group in found["groups"].items():
        rows.append((f"`{name}`: handled", group["handled"]))
        rows.append((f"`{name}`: duplicates", group["duplicates"]))
        rows.append((f"`{name}`: dead letters", len(group["dead_letters"])))
    rows.append(("orders at the end", sum(found["orders"].values())))
    rows += [(f"... {step}", count) for step, count in found["orders"].items()]
    rows += [(f"alerts `{kind}`", count) for kind, count in found["alerts"].items()]
    return "\n".join(["| what | count |", "|---|---:|", *(f"| {what} | {count} |" for what, count in rows)])
