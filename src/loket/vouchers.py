"""What accounting answers of each entry: booked, with a voucher; or refused, and a person must see to it.

A refused entry is told again by whoever mends what was wrong. The task that names all entries of a case that
the books do not have closes itself when they have the last one.
"""

from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import cases
from loket.lifecycle import TaskStatus
from loket.records import Case, Effect, EntryState, JournalEntry, Task
from loket.work import Work

REJECTED = "ENTRY_REJECTED"
"""The task of the financial service."""
_KNOWS = frozenset({EntryState.BOOKED, EntryState.KNOWN})


async def booked(work: Work, entry_id: UUID, effect_id: UUID, voucher: str) -> None:
    """The books have an entry, as they answered to an effect.

    It counts also where a person left that undone meanwhile; not where the books refused it since.
    """
    seen = await work.session.get_one(JournalEntry, entry_id)
    refused_before = await _task(work, seen.case_id) is not None
    case = await cases.get(work, seen.case_id) if refused_before else None  # a case is locked first
    entry = await _locked(work, entry_id)
    if entry is None or entry.effect_id != effect_id or entry.state in _KNOWS:
        return
    entry.state, entry.voucher, entry.reason = EntryState.BOOKED, voucher, ""
    task = await _task(work, entry.case_id)
    if case is None or task is None:
        return
    still = _but(task, entry_id)
    task.data = {**task.data, "entries": still}
    if not still:
        await cases.complete_tasks(work, case, REJECTED)


async def refused(work: Work, case: Case, entry_id: UUID, reason: str) -> None:
    """The books will not have an entry after all; of what they told us themselves there is none to refuse."""
    entry = await _locked(work, entry_id)
    if entry is not None and entry.state is not EntryState.KNOWN:
        entry.effect_id = None  # an answer that is under way is older than this
        await _reject(work, case, entry, reason)


async def _reject(work: Work, case: Case, entry: JournalEntry, reason: str) -> None:
    entry.state, entry.reason = EntryState.REJECTED, reason[:500]
    task = await cases.open_task(work, case, REJECTED, {"entries": []})
    told = {
        "entry": str(entry.id),
        "type": entry.type,
        "number": entry.document_number,
        "amount": str(entry.amount),
        "reason": entry.reason,
    }
    task.data = {**task.data, "entries": [*_but(task, entry.id), told]}


async def not_told(work: Work, case: Case, effect: Effect, reason: str) -> None:
    """The telling was given up, or a person left it undone: the books do not have the entry."""
    entry = await _told_by(work, effect)
    if entry is not None and entry.state is EntryState.LEFT:
        await _reject(work, case, entry, reason)


async def told_again(work: Work, effect: Effect) -> None:
    """The same effect is tried once more: whether the books have its entry is open anew."""
    entry = await _told_by(work, effect)
    if entry is not None and entry.state is EntryState.REJECTED:
        entry.state, entry.reason = EntryState.LEFT, ""


async def _told_by(work: Work, effect: Effect) -> JournalEntry | None:
    """The entry that this effect tells; None when another one tells it by now."""
    entry = await _locked(work, UUID(effect.payload["entry_id"]))
    return entry if entry is not None and entry.effect_id == effect.id else None


async def _locked(work: Work, entry_id: UUID) -> JournalEntry | None:
    return await work.session.get(
        JournalEntry, entry_id, with_for_update={"key_share": True}, populate_existing=True
    )


async def _task(work: Work, case_id: UUID) -> Task | None:
    found = await work.session.scalars(
        select(Task)
        .where(col(Task.case_id) == case_id, col(Task.kind) == REJECTED, col(Task.status) == TaskStatus.OPEN)
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


def _but(task: Task, entry_id: UUID) -> list[dict[str, str]]:
    return [one for one in task.data.get("entries", []) if one["entry"] != str(entry_id)]
