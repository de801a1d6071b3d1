"""A department hears by e-mail that a case waits for one of its handlers, beside the work queue."""

from sqlalchemy import select

from loket.lifecycle import FINAL, EventType
from loket.records import EVERY_EFFECT, Case, EffectKind
from loket.work import Work

PAGE = "/beheer/dossiers/"
"""Of the back office, on the municipality's website; the case's number follows."""
ASKS_A_HANDLER = frozenset({"REFERRED", "ASSESS", "DECIDE"})
"""Tasks with which a case that went on by itself comes to a person."""


async def tell(work: Work) -> None:
    """Leave an e-mail for each case that came to a person in this work: one a case and round is enough."""
    if not work.settings.department_mailboxes:
        return
    asking = {
        case.id: case
        for case, event in work.happened
        if event.type is EventType.TASK_OPENED and event.data["task"] in ASKS_A_HANDLER
    }
    for case in asking.values():
        to = work.settings.department_mailboxes.of(case.department)
        if to and waits(case) and not await _was_told(work, case):
            await work.leave(EffectKind.STAFF_EMAIL, {"to": to, "round": case.round}, case=case)


def waits(case: Case) -> bool:
    """Whether it still lies there for whoever takes it."""
    return case.handler_id is None and case.status not in FINAL


async def _was_told(work: Work, case: Case) -> bool:
    found = await work.session.scalar(
        select(EVERY_EFFECT.c.id)
        .where(
            EVERY_EFFECT.c.case_id == case.id,
            EVERY_EFFECT.c.kind == EffectKind.STAFF_EMAIL,
            EVERY_EFFECT.c.payload["round"].as_integer() == case.round,
        )
        .limit(1)
    )
    return found is not None
