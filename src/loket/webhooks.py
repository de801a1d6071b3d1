"""Who elsewhere is told of events: subscribing, pausing, going back to an earlier place, and leaving.

A subscription holds its own place in the feed of events; transitions know nothing of it. Workers read on from
there (`subscribers`). Whoever subscribed sees and changes it, and so does an operator of all departments.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text
from sqlmodel import col

from loket.errors import ErrorCode, Refused
from loket.feed import FLOOR
from loket.interests import Cursor
from loket.lifecycle import EFFECT_EVENTS, EventType, Role
from loket.records import (
    ActorKind,
    WebhookPause,
    WebhookState,
    WebhookSubscription,
)
from loket.systems.webhooks import checked, new_secret
from loket.work import Actor, Work

PER_OWNER = 10
LONGEST_DESCRIPTION = 200
USUALLY = tuple(sorted(frozenset(EventType) - EFFECT_EVENTS))
"""What a subscriber hears of who does not say: not what becomes of effects."""


async def subscribe(
    work: Work,
    *,
    url: str,
    types: Sequence[EventType] | None,
    procedures: Sequence[str],
    description: str,
    after: Cursor | None,
) -> tuple[WebhookSubscription, str]:
    """Tell an address of events from `after` on (from now on without it); answers the secret too, once.

    Raises:
        Refused: VALIDATION for an address that is not called, a procedure that nobody knows, or more
            subscriptions than one may have; TOO_LARGE; CURSOR_EXPIRED.
    """
    _check_words(work, url, procedures, description)
    owner_id = _id_of(work.actor)
    await work.session.execute(select(func.pg_advisory_xact_lock(_number(owner_id))))
    mine = select(func.count()).where(
        col(WebhookSubscription.owner_id) == owner_id, col(WebhookSubscription.state) != WebhookState.ENDED
    )
    if (await work.session.scalar(mine) or 0) >= PER_OWNER:
        raise Refused(ErrorCode.VALIDATION, path=["input"], reason=f"at most {PER_OWNER} subscriptions")
    here = await _here(work)
    secret = new_secret()
    place = here if after is None else _within(after, here)
    await _check_kept(work, place)
    made = WebhookSubscription(
        url=url,
        description=description.strip(),
        secret_sealed=work.vault.seal(secret),
        types=sorted(set(USUALLY if types is None else types)),
        procedures=sorted(set(procedures)),
        owner_kind=work.actor.kind,
        owner_id=owner_id,
        owner_name=work.actor.name,
        created_at=work.now,
        epoch=place.epoch,
        xid=place.xid,
        seq=place.seq,
        due_at=work.now,
    )
    made.due_at = func.now()  # type: ignore[assignment]  # the database's clock
    work.session.add(made)
    await work.session.flush()
    return made, secret


async def unsubscribe(work: Work, id: UUID) -> WebhookSubscription:
    """Tell it nothing more; its secret is forgotten. Raises `Refused` NOT_FOUND."""
    found = await _get(work, id)
    found.state, found.pause, found.ended_at = WebhookState.ENDED, None, work.now
    found.secret_sealed, found.token = b"", None
    return found


async def pause(work: Work, id: UUID) -> WebhookSubscription:
    """Tell it nothing until it is resumed; its place is kept. Raises `Refused` NOT_FOUND."""
    found = await _get(work, id)
    if found.state is WebhookState.ACTIVE:
        stop(found, WebhookPause.ASKED)
    return found


async def resume(work: Work, id: UUID) -> WebhookSubscription:
    """Go on telling from where it stood, at once; also while it waits for another try.

    Raises:
        Refused: NOT_FOUND; CURSOR_EXPIRED where what comes next is no longer kept: it must be given a place.
    """
    found = await _get(work, id)
    if found.pause is WebhookPause.CURSOR_EXPIRED:
        raise Refused(ErrorCode.CURSOR_EXPIRED, path=["id"])
    _go_on(work, found)
    return found


async def replay(work: Work, id: UUID, after: Cursor | None) -> WebhookSubscription:
    """Tell it once more of all that came after `after`, or of all that is kept; with the same message ids.

    Raises:
        Refused: NOT_FOUND; CURSOR_EXPIRED for a cursor of another epoch, or of before what is kept.
    """
    found = await _get(work, id)
    here = await _here(work)
    place = Cursor(here.epoch, 0, 0) if after is None else _within(after, here)
    await _check_kept(work, place)
    found.epoch, found.xid, found.seq = place.epoch, place.xid, place.seq
    _go_on(work, found)
    return found


def stop(subscription: WebhookSubscription, why: WebhookPause) -> None:
    """Whoever is telling it now finds that its turn is over."""
    subscription.state, subscription.pause, subscription.token = WebhookState.PAUSED, why, None


def _go_on(work: Work, subscription: WebhookSubscription) -> None:
    subscription.state, subscription.pause = WebhookState.ACTIVE, None
    subscription.due_at = func.now()  # type: ignore[assignment]  # the database's clock
    subscription.token = None
    subscription.failures, subscription.failing_since = 0, None


async def _get(work: Work, id: UUID) -> WebhookSubscription:
    """One that is the actor's to change, locked."""
    found = await work.session.get(WebhookSubscription, id, with_for_update=True, populate_existing=True)
    if found is None or found.state is WebhookState.ENDED:
        raise Refused(ErrorCode.NOT_FOUND)
    actor = work.actor
    for_all = actor.kind is ActorKind.STAFF and Role.OPERATOR in actor.roles - actor.departments.keys()
    if found.owner_id != _id_of(actor) and not for_all:
        raise Refused(ErrorCode.NOT_FOUND)
    return found


def _check_words(work: Work, url: str, procedures: Sequence[str], description: str) -> None:
    try:
        checked(url, work.settings.webhooks, production=work.settings.production)
    except ValueError as fault:
        raise Refused(ErrorCode.VALIDATION, path=["input", "url"], reason=str(fault)) from fault
    unknown = set(procedures) - {key for key, _ in work.procedures}
    if unknown:
        reason = f"no procedure {min(unknown)[:100]}"
        raise Refused(ErrorCode.VALIDATION, path=["input", "procedures"], reason=reason)
    if len(description) > LONGEST_DESCRIPTION:
        raise Refused(ErrorCode.TOO_LARGE, path=["input", "description"], limit=LONGEST_DESCRIPTION)


def _within(place: Cursor, here: Cursor) -> Cursor:
    """The same place, its number no higher than any that was given: that number outlives a restore."""
    if place.epoch != here.epoch:
        raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
    return Cursor(place.epoch, place.xid, min(place.seq, here.seq))


async def _here(work: Work) -> Cursor:
    """Where the feed ends now."""
    return Cursor(*(await work.session.execute(text(HERE))).one())


async def _check_kept(work: Work, place: Cursor) -> None:
    floor: int = (await work.session.execute(text(FLOOR))).scalar_one()
    if 0 < place.xid < floor:
        raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])


def _id_of(actor: Actor) -> UUID:
    assert actor.id is not None, "whoever subscribes has an id"
    return actor.id


def _number(id: UUID) -> int:
    """What an advisory lock takes; the last bytes of an id are random."""
    return int.from_bytes(id.bytes[-8:], "big", signed=True)


HERE = """
    SELECT (SELECT epoch FROM feedepoch), pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1,
           coalesce(pg_sequence_last_value(pg_get_serial_sequence('event', 'seq')::regclass), 0)
"""
