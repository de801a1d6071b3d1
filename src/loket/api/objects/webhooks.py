"""Who elsewhere is told of events by webhook, and how that went."""

from datetime import datetime

from loket import records
from loket.api.context import Caller
from loket.api.mapping import base64url
from loket.api.naming import input_type
from loket.api.objects.conditions import among
from loket.api.objects.people import Actor
from loket.api.procedures import Row
from loket.api.reads import (
    Connection,
    Node,
    column,
    computed,
    condition,
    entity,
    expression,
    many,
    newest,
    oldest,
    orders,
    part,
)
from loket.api.scalars import Cursor
from loket.api.visibility import of_webhook, of_webhook_call
from loket.lifecycle import EventType
from loket.records import WebhookPause, WebhookState

_PLACE = "{t}.epoch::text || '.' || {t}.xid::text || '.' || {t}.seq::text"


@entity(records.WebhookCall, policy=of_webhook_call)
class WebhookCall(Node):
    """One attempt to tell a subscriber of one event; kept for a month, the last ten thousand of each."""

    message_id: str = expression(
        "The `webhook-id` that went with it: the same at each attempt.", "{t}.event_id::text"
    )
    event_type: EventType = column("What had happened.")
    attempt: int = column("The how manieth for this event in a row.")
    started_at: datetime = column("When.")
    duration_ms: int = column("How long it took, in milliseconds.")
    http_status: int | None = column("What it answered; null without an answer.")
    error: str | None = expression("What was wrong; null where it took the event.", "nullif({t}.error, '')")


@input_type
class WebhookCallFilter:
    """Which calls."""

    failed: bool | None = condition("That were not taken; false: that were.", "({t}.error <> '') = {value}")


WEBHOOK_CALL_ORDER = orders(
    "WebhookCallOrder",
    "In which order calls come.",
    NEWEST=(newest("id"), "Last first."),
    OLDEST=(oldest("id"), "As they were made."),
)


@entity(records.WebhookSubscription, policy=of_webhook)
class Webhook(Node):
    """An address elsewhere that is told of events, each at least once, in the order of the stream.

    Messages are CloudEvents 1.0 (JSON), signed as Standard Webhooks: verify `webhook-signature`, and take
    each `webhook-id` once. An answer of 2xx takes the event; anything else is tried again for 48 hours.
    """

    url: str = column("Where it is told.")
    description: str = column("What for, in your own words.")
    state: WebhookState = column("Whether it is told of events.")
    paused_because: WebhookPause | None = column("Why not, where it is paused.", "pause")
    owner: Actor = part("Who subscribed.", {"kind": "{t}.owner_kind", "name": "{t}.owner_name"})
    created_at: datetime = column("Since when.")
    ended_at: datetime | None = column("When it ended.")
    cursor: Cursor = expression("Up to where it was told.", base64url(f"convert_to({_PLACE}, 'UTF8')"))
    told: int = expression("How many events it took.", "least({t}.told, 2147483647)::int")
    told_at: datetime | None = column("When it took the last one.")
    failures: int = column("How many attempts in a row it did not take.")
    failing_since: datetime | None = column("Since when it takes nothing.")
    next_attempt_at: datetime | None = expression(
        "When it is tried again, where it did not take the last event.",
        "CASE WHEN {t}.state = 'ACTIVE' AND {t}.failures > 0 THEN {t}.due_at END",
    )
    last_error: str | None = expression("What was wrong last.", "nullif({t}.last_error, '')")
    calls: Connection[WebhookCall] = many(
        "Each attempt to tell it of an event.",
        on="subscription_id",
        filter=WebhookCallFilter,
        orders=WEBHOOK_CALL_ORDER,
        with_parent=True,
    )

    @computed("types")
    def types(row: Row, viewer: Caller) -> list[EventType]:  # noqa: N805  # no self
        """Of which events."""
        return [EventType(one) for one in row["types"]]

    @computed("procedures")
    def procedures(row: Row, viewer: Caller) -> list[str]:  # noqa: N805  # no self
        """Of cases of which procedures, by key; empty for all."""
        return list(row["procedures"])


@input_type
class WebhookFilter:
    """Which subscriptions."""

    state: list[WebhookState] | None = among("In one of these states.", "state")


WEBHOOK_ORDER = orders(
    "WebhookOrder", "In which order subscriptions come.", NEWEST=(newest("created_at"), "Last made first.")
)
