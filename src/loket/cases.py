"""A case and its one way forward: `advance` is the only place where a status changes."""

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import cast, func, select
from sqlmodel import col

from loket import tracing
from loket.database import EVENTS, after_commit
from loket.definition import Definition
from loket.errors import ErrorCode, Refused
from loket.lifecycle import (
    ENTRY,
    FINAL,
    Action,
    CaseMachine,
    EventType,
    Machine,
    PartAction,
    Role,
    Status,
    TaskStatus,
    TimerKind,
    case_machine,
)
from loket.numbers import case_reference
from loket.records import (
    ActorKind,
    Application,
    Case,
    Event,
    Task,
    Xid8,
    case_number,
)
from loket.terms import add_days, end_of
from loket.work import Work, the_system

MOMENT = timedelta(microseconds=1)
"""What PostgreSQL tells instants apart by."""
LONGEST_TEXT = 4_000
"""Characters of a reason, a question, an answer: it goes on into messages and to other systems."""
SEES_CASES = frozenset(
    {Role.HANDLER, Role.FINANCE, Role.FIELD_WORKER, Role.SECRETARIAT, Role.OPERATOR, Role.SYSTEM}
)


def machine(definition: Definition) -> CaseMachine:
    return case_machine(definition.stages)


async def get(
    work: Work,
    case_id: UUID,
    *,
    expected_version: int | None = None,
) -> Case:
    """The case, locked until the end of this work: actions on one case are serial.

    Every lock here is FOR NO KEY UPDATE: a new event or effect of the same case needs its key only, and
    must not wait for (or deadlock with) whoever changes it.

    Raises:
        Refused: NOT_FOUND for a missing case and for one that the actor may not know of;
            NOT_ALLOWED where the roles for which the door opened are of another department;
            VERSION_CONFLICT when somebody changed it since `expected_version`.
    """
    found = await work.session.scalars(
        select(Case)
        .where(col(Case.id) == case_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    case = found.one_or_none()
    if case is None or not may_see(work, case):
        raise Refused(ErrorCode.NOT_FOUND)
    if work.actor.is_staff and not work.permits(roles_in(work, case)):
        raise Refused(ErrorCode.NOT_ALLOWED)
    if expected_version is not None and expected_version != case.version:
        raise Refused(
            ErrorCode.VERSION_CONFLICT,
            current=case.version,
            extra={"current": case.version},
        )
    _come_after(work, case)
    return case


def _come_after(work: Work, case: Case) -> None:
    """Whoever waited for a case is later than what they waited for, however early they began: its history,
    and what DOSIS hears of it, goes forward in time. All that one piece of work does is of one moment, and
    nothing else is.
    """
    ours = case.version == 0 or any(one.id == case.id for one, _ in work.happened)
    work.now = max(work.now, case.updated_at if ours else case.updated_at + MOMENT)


def may_see(work: Work, case: Case) -> bool:
    """The applicant sees the own cases; staff those of the departments for which they have a task.

    So does who is asked to confirm one, for as long as they answer (`co_applicants`).
    """
    if work.actor.kind is ActorKind.CITIZEN:
        return bool(roles_in(work, case))
    return bool(roles_in(work, case) & SEES_CASES)


async def open_for(work: Work, application: Application, definition: Definition) -> Case:
    """Make a case of a submitted application; its term begins to run."""
    number = await work.session.scalar(case_number)
    year = work.today.year
    case = Case(
        reference=case_reference(
            definition.reference_prefix, year, int(number or 0), work.vault.reference_key
        ),
        procedure_key=definition.key,
        procedure_version=definition.version,
        person_id=application.person_id,
        application_id=application.id,
        channel=application.channel,
        stage=definition.stages[0],
        status=Status.RECEIVED,
        department=definition.department.nl,
        submitted_at=work.now,
        due_on=add_days(work.today, definition.term.days, definition.term.counting),
        household_index=application.household_index,
        facts=application.facts,
        updated_at=work.now,
    )
    work.session.add(case)
    await work.session.flush()
    await _write(work, case, EventType.SUBMITTED, None, {})
    await arm_term(work, case)
    return case


async def arm_term(work: Work, case: Case) -> None:
    """The term to decide in, and the alarm before it lapses."""
    alarm_days = work.definition(case).term.alarm_days
    await work.arm(TimerKind.TERM, end_of(case.due_on), case=case)
    await work.arm(TimerKind.TERM_ALARM, end_of(case.due_on) - timedelta(days=alarm_days), case=case)


async def new_term(work: Work, case: Case) -> None:
    """A case that ended or was decided is to be decided anew: the term begins again, from today."""
    term = work.definition(case).term
    case.due_on = add_days(work.today, term.days, term.counting)
    case.overdue = False
    today = work.today.isoformat()
    case.suspensions = [period | {"to": period["to"] or today} for period in case.suspensions]
    await arm_term(work, case)


def stands_still(case: Case) -> bool:
    """Whether the term does not run now."""
    return any(period["to"] is None for period in case.suspensions)


async def end_suspension(work: Work, case: Case) -> None:
    """The term runs on; the days that it stood still are added to it, once for however many reasons."""
    since = [date.fromisoformat(period["from"]) for period in case.suspensions if period["to"] is None]
    case.due_on += work.today - min(since, default=work.today)
    today = work.today.isoformat()
    case.suspensions = [period | {"to": period["to"] or today} for period in case.suspensions]
    await arm_term(work, case)


async def pass_on(work: Work, case: Case) -> None:
    """The stage has nothing more to do: on to the next, as the system."""
    await advance(work.as_actor(the_system()), case, Action.PASS)


async def advance(work: Work, case: Case, action: Action, *, data: dict[str, Any] | None = None) -> Event:
    """Move `case` along its procedure, and write down that it happened.

    Changes only our own tables. What a new stage or an end brings with it, and what others must hear,
    follows before the same commit (`stages.settle`): a status that was rolled back is never reported,
    one that was kept always is.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when the table has no such step from the present state, or not
            for this actor.
    """
    definition = work.definition(case)
    table = machine(definition)
    step = table.find((case.stage, case.status), action)
    if step is None or not step.by & roles_in(work, case):
        raise not_allowed(work, case)
    previous = case.status
    entered_stage = step.to[0] != case.stage
    case.stage, case.status = step.to
    if action is Action.REOPEN:
        _reopen(case, definition, data or {})
    if case.status in FINAL and previous not in FINAL:
        case.closed_at = work.now
        case.outcome = case.status
    event = await _write(work, case, step.event or EventType.STAGE_PASSED, previous, data or {})
    if entered_stage:
        await _write(work, case, ENTRY[case.stage][1], case.status, {})
    if (
        entered_stage
        or action in (Action.BEGIN, Action.REOPEN)
        or (case.status in FINAL and previous not in FINAL)
    ):
        if case.status is Status.COMPLETED and event.type is not EventType.COMPLETED:
            await _write(work, case, EventType.COMPLETED, case.status, {})
        work.entered.append(case)
    return event


async def record(work: Work, case: Case, type: EventType, *, data: dict[str, Any] | None = None) -> Event:
    """Write down a fact that changes a part of the case but not its status."""
    return await _write(work, case, type, case.status, data or {})


def move(work: Work, machine: Machine[Any, PartAction], part: Any, action: PartAction) -> None:  # noqa: ANN401  # any part of a case
    """Move a part of a case along its published table; one that counts its versions is a new one after it.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when the table has no such step from its state, or not for this actor.
    """
    step = machine.find(part.status, action)
    if step is None or not step.by & work.actor.roles:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=part.status)
    part.status = step.to
    if hasattr(part, "version"):
        part.version += 1


async def open_task(work: Work, case: Case, kind: str, data: dict[str, Any] | None = None) -> Task:
    """Ask a person to settle something; one open task of a kind per case is enough."""
    found = await work.session.scalars(
        select(Task).where(
            col(Task.case_id) == case.id, col(Task.kind) == kind, col(Task.status) == TaskStatus.OPEN
        )
    )
    task = found.one_or_none()
    if task is None:
        task = Task(case_id=case.id, kind=kind, data=data or {}, opened_at=work.now)
        work.session.add(task)
        await record(work, case, EventType.TASK_OPENED, data={"task": kind, "task_id": str(task.id)})
    return task


async def complete_tasks(work: Work, case: Case, *kinds: str, remark: str = "") -> None:
    """Close open tasks that settled themselves."""
    found = await work.session.scalars(
        select(Task).where(
            col(Task.case_id) == case.id, col(Task.kind).in_(kinds), col(Task.status) == TaskStatus.OPEN
        )
    )
    for task in found:
        task.status = TaskStatus.DONE
        task.done_at = work.now
        task.done_by_id = work.actor.id if work.actor.is_staff else None
        task.remark = remark
        await record(work, case, EventType.TASK_DONE, data={"task": task.kind, "task_id": str(task.id)})


def roles_in(work: Work, case: Case) -> frozenset[Role]:
    """In which qualities the actor acts on this case: of staff, the roles of its department.

    A citizen is its applicant or nobody, but where `co_applicants` looked that they are asked to confirm it.
    """
    if work.actor.kind is ActorKind.CITIZEN:
        asked = work.actor.roles & {Role.CO_APPLICANT}
        return asked or (frozenset({Role.APPLICANT}) if case.person_id == work.actor.id else frozenset())
    return work.actor.roles_at(case.department)


def acting(work: Work, case: Case) -> Work:
    """The same work, in the qualities that the actor has in this case."""
    return work.as_actor(replace(work.actor, roles=roles_in(work, case)))


def said(value: str, field: str) -> str:
    """What a person wrote in a field of the input, trimmed.

    Raises:
        Refused: REQUIRED for nothing; TOO_LARGE for more than `LONGEST_TEXT`.
    """
    text = value.strip()
    if not text:
        raise Refused(ErrorCode.REQUIRED, path=["input", field])
    if len(text) > LONGEST_TEXT:
        raise Refused(ErrorCode.TOO_LARGE, path=["input", field], limit=f"{LONGEST_TEXT} characters")
    return text


def not_allowed(work: Work, case: Case) -> Refused:
    allowed = machine(work.definition(case)).allowed((case.stage, case.status), roles_in(work, case))
    return Refused(
        ErrorCode.TRANSITION_NOT_ALLOWED,
        status=case.status,
        extra={"status": case.status, "allowed_actions": [str(action) for action in allowed]},
    )


def _reopen(case: Case, definition: Definition, data: dict[str, Any]) -> None:
    wanted = data.get("stage")
    if wanted not in definition.stages:
        raise Refused(
            ErrorCode.VALIDATION,
            path=["input", "stage"],
            reason=f"the procedure has no stage {wanted!r}",
        )
    case.stage = definition.stages[definition.stages.index(wanted)]
    case.status = ENTRY[case.stage][0]
    case.round += 1
    case.closed_at = None
    case.outcome = None


async def _write(
    work: Work, case: Case, type: EventType, previous: Status | None, data: dict[str, Any]
) -> Event:
    """Append to the case's history; the version is the number of its events."""
    found = await work.session.execute(
        select(col(Event.chain), col(Event.xid)).where(
            col(Event.case_id) == case.id, col(Event.case_version) == case.version
        )
    )
    last = found.first()
    _come_after(work, case)
    case.version += 1
    case.updated_at = work.now
    event = Event(
        case_id=case.id,
        person_id=case.person_id,
        case_version=case.version,
        type=type,
        stage=case.stage,
        status=case.status,
        previous_status=previous,
        occurred_at=work.now,
        actor_kind=work.actor.kind,
        actor_id=work.actor.id,
        actor_name=work.actor.name,
        data=data,
        chain=b"",
        trace=tracing.of_this(),
    )
    event.chain = link(last.chain if last else b"", event)
    if last is not None:
        event.xid = _not_before(last.xid)
    work.session.add(event)
    await work.session.flush()
    after_commit(work.session, EVENTS)
    work.happened.append((case, event))
    return event


def _not_before(last: int) -> Any:  # noqa: ANN401  # SQL in the place of a value
    """The id of this transaction, or that of the event before where it is higher.

    A transaction has its id before it waits for the case: so the later one may have the lower id, and
    its event would stand before its predecessor in the feed.
    """
    return func.greatest(func.pg_current_xact_id(), cast(str(last), Xid8))


def link(previous: bytes, event: Event) -> bytes:
    """The chain value of `event` behind one whose value is `previous`."""
    content = [
        str(event.id), str(event.case_id), event.case_version, event.type, event.stage, event.status,
        event.previous_status, event.occurred_at.isoformat(), event.actor_kind, str(event.actor_id),
        event.actor_name, event.data,
    ]  # fmt: skip
    return hashlib.sha256(previous + orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()
