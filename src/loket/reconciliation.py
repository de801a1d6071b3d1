"""Comparing all that is known of the money of a period, to the cent.

The payment module, our payments, the journal, the bank's statements; what was invoiced, credited, paid and is
open; what was granted and paid out. Each difference has a name, and what can be repaired is repaired by
doing again what was left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from sqlalchemy import RowMapping, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from uuid_utils.compat import uuid7

from loket import bookkeeping, cases, elsewhere, operations, rebooking
from loket.comparing_money import COMPARISONS, COUNTED
from loket.errors import ErrorCode, Refused
from loket.lifecycle import TimerKind
from loket.records import (
    Case,
    Compared,
    Difference,
    DifferenceKind,
    DifferenceState,
    Effect,
    EffectKind,
    EffectState,
    EntryState,
    JournalEntry,
    Json,
    Reconciliation,
    Timer,
    TimerState,
)
from loket.terms import morning_of
from loket.work import Work

LONGEST_DAYS = 366
"""Of a period that is compared in one go."""
EARLIEST = date(2000, 1, 1)
"""There were no books here before; and the first days of the calendar have no day before them."""
DAILY_DAYS = 35
"""The daily reconciliation looks back over more than a month: money is told late."""
REPAIRS_ITSELF = (
    *(DifferenceKind.PROVIDER, DifferenceKind.ENTRY_NOT_TOLD, DifferenceKind.ENTRY_MISSING),
    *elsewhere.OF_PLANNING,
    *elsewhere.OF_STATUSES,
)
"""Of others a person says how they were settled."""
DAYS = UUID("5d0a3c0e-9f0b-4b7b-8a55-0d8a4f5b6c1e")
"""The name space of days: each has one timer."""


@dataclass(frozen=True)
class Finding:
    """Two records of the same money disagree; amounts in EUR."""

    kind: DifferenceKind
    subject_id: UUID
    case_id: UUID | None = None
    expected: Decimal | None = None
    found: Decimal | None = None
    detail: Json = field(default_factory=dict)


# --- beginning and ending ---------------------------------------------------------------------


async def start(work: Work, starts_on: date, ends_on: date) -> Reconciliation:
    """Begin to compare what happened from `starts_on` to `ends_on`, both included; a worker goes on.

    Raises:
        Refused: VALIDATION for a period that ends before it starts, is too long, lies in the future or
            before `EARLIEST`.
    """
    if starts_on < EARLIEST:
        raise Refused(ErrorCode.VALIDATION, path=["from"], reason=f"not before {EARLIEST}")
    if not starts_on <= ends_on <= work.today:
        raise Refused(ErrorCode.VALIDATION, path=["to"], reason="not before the first day, not after today")
    if (ends_on - starts_on).days > LONGEST_DAYS:
        raise Refused(ErrorCode.VALIDATION, path=["from"], reason=f"at most {LONGEST_DAYS} days")
    run = Reconciliation(
        starts_on=starts_on,
        ends_on=ends_on,
        started_at=work.now,
        started_by_id=work.actor.id if work.actor.is_staff else None,
    )
    work.session.add(run)
    await work.session.flush()
    await work.leave(EffectKind.RECONCILE, {"reconciliation_id": str(run.id)})
    return run


async def daily(work: Work) -> None:
    """The day's comparisons, of money back to what an earlier one left open; and the timer of the next."""
    for subject in (Compared.PLANNING, Compared.STATUSES):
        await elsewhere.start(work, subject)
    since = work.today - timedelta(days=DAILY_DAYS)
    is_open = col(Difference.state) == DifferenceState.OPEN
    left = select(col(Difference.reconciliation_id)).where(is_open)
    of_those = select(func.min(Reconciliation.starts_on)).where(
        col(Reconciliation.id).in_(left), col(Reconciliation.subject) == Compared.MONEY
    )
    since = min(since, await work.session.scalar(of_those) or since)
    await start(work, max(since, work.today - timedelta(days=LONGEST_DAYS)), work.today)
    await arm_daily(work)


async def arm_daily(work: Work) -> None:
    """Have the books compared tomorrow morning; once, however many workers ask for it."""
    due_at = morning_of(work.today + timedelta(days=1))
    day = uuid5(DAYS, due_at.date().isoformat())
    timer = insert(Timer).values(
        id=day, subject_id=day, kind=TimerKind.RECONCILIATION, due_at=due_at, state=TimerState.ARMED, number=1
    )
    await work.session.execute(timer.on_conflict_do_nothing(index_elements=["id"]))


async def finish(work: Work, run: Reconciliation) -> None:
    """Compare what we have ourselves, and close what is not found any more."""
    period = {"starts_on": run.starts_on, "ends_on": run.ends_on}
    for kind, statement in COMPARISONS:
        found = await work.session.execute(statement, period)
        await note(work, run, (_finding(kind, row) for row in found.mappings()))
    run.compared = {**run.compared, **await _counted(work, period)}
    run.ended_at = work.now
    mine = select(col(Reconciliation.id)).where(
        col(Reconciliation.subject) == Compared.MONEY,
        col(Reconciliation.starts_on) >= run.starts_on,
        col(Reconciliation.ends_on) <= run.ends_on,
    )
    await work.session.flush()
    await work.session.execute(
        update(Difference)
        .where(
            col(Difference.state) == DifferenceState.OPEN,
            col(Difference.reconciliation_id) < run.id,  # what a later one found meanwhile is its own
            col(Difference.reconciliation_id).in_(mine),
        )
        .values(state=DifferenceState.GONE, ended_at=work.now)
    )


async def note(work: Work, run: Reconciliation, findings: Iterable[Finding]) -> None:
    """Keep what was found; what was open already is the same difference still, what is settled stays so."""
    for one in [one for one in findings if not await _is_settled(work, one)]:
        row = insert(Difference).values(
            id=uuid7(),
            reconciliation_id=run.id,
            kind=one.kind,
            state=DifferenceState.OPEN,
            subject_id=one.subject_id,
            case_id=one.case_id,
            expected=one.expected,
            found=one.found,
            detail=one.detail,
            found_at=work.now,
        )
        latest = func.greatest(col(Difference.reconciliation_id), row.excluded.reconciliation_id)
        again = {name: row.excluded[name] for name in ("expected", "found", "detail")}
        await work.session.execute(
            row.on_conflict_do_update(
                index_elements=["kind", "subject_id"],
                index_where=col(Difference.state) == DifferenceState.OPEN.value,
                set_={**again, "reconciliation_id": latest},
            )
        )


async def _is_settled(work: Work, one: Finding) -> bool:
    """Whether a person said of this very difference how it was settled."""
    same = exists().where(
        col(Difference.state) == DifferenceState.REPAIRED,
        col(Difference.kind) == one.kind,
        col(Difference.subject_id) == one.subject_id,
        col(Difference.expected).is_not_distinct_from(one.expected),
        col(Difference.found).is_not_distinct_from(one.found),
        col(Difference.detail).op("-")("reason") == one.detail,
    )
    return one.kind not in REPAIRS_ITSELF and bool(await work.session.scalar(select(same)))


def _finding(kind: DifferenceKind, row: RowMapping) -> Finding:
    detail = {name: value for name, value in (row["detail"] or {}).items() if value is not None}
    return Finding(kind, row["subject_id"], row["case_id"], row["expected"], row["found"], detail)


async def _counted(work: Work, period: Mapping[str, date]) -> Json:
    """How much was compared: numbers and sums, for people."""
    row = (await work.session.execute(COUNTED, period)).mappings().one()
    return dict(row["counted"])


# --- repairing --------------------------------------------------------------------------------


async def repair(work: Work, difference: Difference, reason: str) -> None:
    """Do again what was left out; where only a person can, `reason` says how they did.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED for one that is not open; REQUIRED where a reason is needed.
    """
    if difference.state is not DifferenceState.OPEN:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=difference.state)
    match difference.kind:
        case DifferenceKind.PROVIDER if "payment_id" in difference.detail:
            case = await cases.get(work, UUID(str(difference.case_id)))
            payload = {"payment_id": difference.detail["payment_id"], "number": 1}
            await work.leave(EffectKind.PAYMENT_POLL, payload, case=case)
        case DifferenceKind.ENTRY_NOT_TOLD:
            case = await cases.get(work, UUID(str(difference.case_id)))
            entry = await work.session.get_one(JournalEntry, difference.subject_id)
            await tell_again(work, case, entry)
        case DifferenceKind.ENTRY_MISSING:
            case = await cases.get(work, UUID(str(difference.case_id)))
            await rebooking.book(work, case, difference.detail["type"], difference.subject_id)
        case _ if not reason.strip():
            raise Refused(ErrorCode.REQUIRED, path=["input", "reason"])
        case _:
            pass
    settled(work, difference, reason)


def settled(work: Work, difference: Difference, reason: str) -> None:
    """Write down that it was, by whom, and how where they said so."""
    difference.state, difference.ended_at = DifferenceState.REPAIRED, work.now
    difference.repaired_by_id = work.actor.id if work.actor.is_staff else None
    difference.detail = {**difference.detail, **({"reason": reason.strip()[:500]} if reason.strip() else {})}


async def tell_again(work: Work, case: Case, entry: JournalEntry) -> None:
    """Tell accounting of an entry once more: by the effect that did not, before what came after it."""
    effect = await work.session.get(Effect, entry.effect_id) if entry.effect_id else None
    if effect is None or effect.state in (EffectState.PENDING, EffectState.DONE):
        await bookkeeping.tell(work, case, entry)
        return
    await operations.retry(work, effect.id, skipped=True)
    entry.state, entry.reason = EntryState.LEFT, ""
