"""What happened to cases, where the stream of it stands, and what other systems were to hear."""

from datetime import datetime

from loket import lifecycle, records, summaries
from loket.api.context import Caller, signed_in
from loket.api.mapping import base64url
from loket.api.naming import input_type
from loket.api.objects.conditions import equal
from loket.api.objects.links import ItsCase
from loket.api.objects.people import Actor
from loket.api.procedures import Row
from loket.api.reads import (
    Node,
    column,
    computed,
    entity,
    expression,
    listed,
    newest,
    oldest,
    one,
    orders,
    part,
)
from loket.api.scalars import Cursor
from loket.api.visibility import of_effect, of_events, of_heard
from loket.lifecycle import EventType, Stage, Status
from loket.records import EffectKind, EffectState

EPOCH = "(SELECT epoch FROM feedepoch)::text || '.' || "
HERE_AND_NOW = base64url(
    f"convert_to({EPOCH}(pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text"
    " || '.9223372036854775807', 'UTF8')"
)
"""Where the stream stood when this answer was read."""
_ABOUT_EFFECTS = ", ".join(f"'{one}'" for one in sorted(lifecycle.EFFECT_EVENTS))
OF_EVENT = base64url(f"convert_to({EPOCH}{{t}}.xid::text || '.' || {{t}}.seq::text, 'UTF8')")


@entity(records.EVERY_ATTEMPT, policy=of_effect)
class Attempt(Node):
    """One call to another system."""

    number: int = column("The how manieth.")
    started_at: datetime = column("When it began.")
    ended_at: datetime | None = column("When it ended; null while it runs, or when its worker died.")
    outcome: str = column("DONE, RETRY, PARKED or IN_DOUBT.")
    error: str = column("What was wrong.")


@entity(records.EVERY_EFFECT, policy=of_heard)
class Effect(Node):
    """Something that another system must hear or do."""

    system: str = column("Which system.")
    kind: EffectKind = column("What.")
    state: EffectState = column("What became of it.")
    attempts_made: int = column("How often it was tried.", "attempts")
    created_at: datetime = column("Since when.")
    next_attempt_at: datetime | None = column("When it is tried again.", "retry_at")
    done_at: datetime | None = column("When the other side had it.")
    last_error: str | None = column("What was wrong last.", allowed=lambda scope: scope.is_staff)
    trace_id: str | None = expression(
        "The id of the request that it follows from, as the log and the other system have it; for staff.",
        "split_part({t}.trace, '-', 2)",
        allowed=lambda scope: scope.is_staff,
    )
    attempts: list[Attempt] = listed(
        "Every call.",
        where="{t}.effect_id = {parent}.id",
        order="{t}.number",
        policy=lambda scope: scope.is_staff,
    )
    case: ItsCase | None = one("Of which case.", on="case_id", with_parent=True)


@entity(records.Event, policy=of_events, within="case_id")
class CaseEvent(Node):
    """Something that happened to a case."""

    cursor: Cursor = expression("Its place in the stream: subscribe `after` it.", OF_EVENT)
    type: EventType = column("What happened.")
    status: Status = column("The status after it.")
    previous_status: Status | None = column("The status before it.")
    stage: Stage = column("The stage after it.")
    occurred_at: datetime = column("When.")
    actor: Actor = part("Who did it.", {"kind": "{t}.actor_kind", "name": "{t}.actor_name"})
    trace_id: str | None = expression(
        "The id of the request in which it happened, as it stands in errors and in the log; for staff.",
        "replace({t}.trace::text, '-', '')",
        allowed=lambda scope: scope.is_staff,
    )
    case: ItsCase = one("Of which case.", on="case_id", with_parent=True)
    effects: list[Effect] = listed(
        "What other systems were to hear of it.",
        where="{t}.case_id = {parent}.case_id AND {t}.event_seq = {parent}.seq",
        order="{t}.seq",
        policy=signed_in,
    )

    effect: Effect | None = one(
        "Of which something is told, by the events about what other systems heard.",
        where=f"{{t}}.id = CASE WHEN {{parent}}.type IN ({_ABOUT_EFFECTS})"
        " THEN ({parent}.data ->> 'effect')::uuid END",
        order="{t}.id",
        policy=signed_in,
    )

    @computed("type", "data")
    def summary(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """In words, for the citizen, in your language."""
        return summaries.of_event(EventType(row["type"]), row["data"], viewer.language)


TIMELINE_ORDER = orders(
    "TimelineOrder",
    "In which order events come.",
    OLDEST=(oldest("seq"), "As they happened."),
    NEWEST=(newest("seq"), "Last first."),
)
EVENTS_OF_THE_CASE = "{t}.case_id = {parent}.id AND {t}.case_version IS NOT NULL"


@input_type
class EffectFilter:
    """Which effects."""

    system: str | None = equal("For this system.", "system")
    state: EffectState | None = equal("In this state.", "state")
