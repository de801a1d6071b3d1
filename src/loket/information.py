"""Asking the applicant for more: in whatever stage, the case waits there and goes on there.

The term stands still meanwhile where the body allows it; answering resumes it, silence ends the waiting.
"""

from datetime import timedelta

from sqlalchemy import select
from sqlmodel import col

from loket import assessment, cases, co_applicants
from loket.lifecycle import Action, EventType, Stage, Status, TimerKind
from loket.records import Case, Event
from loket.terms import end_of
from loket.work import Work


async def request(work: Work, case: Case, question: str) -> None:
    """Ask the applicant for more, to be answered before the end of a day in Belgium."""
    definition = work.definition(case)
    answer_by = work.today + timedelta(days=definition.information.answer_within_days)
    data = {"question": cases.said(question, "question"), "answer_by": answer_by.isoformat()}
    await cases.advance(work, case, Action.REQUEST_INFORMATION, data=data)
    if definition.term.suspendable:
        case.suspensions = [
            *case.suspensions,
            {"reason": "INFORMATION", "from": work.today.isoformat(), "to": None},
        ]
    await work.arm(TimerKind.ANSWER, end_of(answer_by), case=case)
    await _arm_reminder(work, case, 1)


async def remind(work: Work, case: Case, number: int) -> None:
    """No answer yet: say the question again, as often as the definition lists."""
    if case.status is not Status.AWAITING_APPLICANT or case.stage is Stage.PAYOUT:
        return
    if await is_of_another(work, case):
        return
    found = await work.session.scalars(
        select(Event)
        .where(col(Event.case_id) == case.id, col(Event.type) == EventType.INFORMATION_REQUESTED)
        .order_by(col(Event.case_version).desc())
        .limit(1)
    )
    asked = found.one()
    data = {"question": asked.data["question"], "answer_by": asked.data["answer_by"], "number": number}
    await cases.record(work, case, EventType.INFORMATION_REMINDED, data=data)
    await _arm_reminder(work, case, number + 1)


async def supply(work: Work, case: Case, answer: str) -> None:
    """The applicant answers."""
    if await is_of_another(work, case):
        raise cases.not_allowed(work, case)
    await cases.advance(work, case, Action.SUPPLY_INFORMATION, data={"answer": cases.said(answer, "answer")})
    await _stop_waiting(work, case)
    await cases.open_task(work, case, "REFERRED", {"why": "the applicant answered"})
    await assessment.go_on(work, case)


async def is_of_another(work: Work, case: Case) -> bool:
    """Whether the answer that is awaited is that of a co-applicant."""
    return await co_applicants.open_of(work, case) is not None


async def lapsed(work: Work, case: Case) -> None:
    """No answer came: a handler decides on what there is."""
    await cases.advance(work, case, Action.STOP_WAITING)
    await _stop_waiting(work, case)
    await cases.open_task(work, case, "ANSWER_LAPSED")
    await assessment.go_on(work, case)


async def _stop_waiting(work: Work, case: Case) -> None:
    await work.disarm(TimerKind.ANSWER, TimerKind.ANSWER_REMINDER, case=case)
    await cases.end_suspension(work, case)


async def _arm_reminder(work: Work, case: Case, number: int) -> None:
    """So many days after the question, at the hour at which it was asked."""
    days = sorted(work.definition(case).information.reminder_days)
    if number > len(days):
        return
    since = days[number - 2] if number > 1 else 0
    due_at = work.now + timedelta(days=days[number - 1] - since)
    await work.arm(TimerKind.ANSWER_REMINDER, due_at, case=case, number=number)
