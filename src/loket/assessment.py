"""Weighing an application on its merits (beoordeling): when may it go on, and what must a person look at."""

from sqlalchemy import select
from sqlmodel import col

from loket import cases
from loket.facts import CHECKED_IN
from loket.lifecycle import Action, AdviceStatus, CheckStatus, Stage, Status
from loket.records import Advice, Case, Check, Json
from loket.work import Work, the_system

AWAITED = (AdviceStatus.REQUESTED, AdviceStatus.REMINDED)
"""Advice that somebody still has to give."""


async def go_on(work: Work, case: Case) -> None:
    """Look whether all that was asked of others is in; called whenever a check or advice has ended.

    With `assessment: {by: rule}` the case goes on by itself, unless a check found no answer or the case was
    reopened: then, as with `by: handler`, a handler hears that it is their turn.
    """
    if case.stage is not Stage.ASSESSMENT or case.status not in (Status.ASSESSMENT, Status.AWAITING_ADVICE):
        return
    if await _awaits_advice(work, case):
        return
    by_itself = work.as_actor(the_system())
    if case.status is Status.AWAITING_ADVICE:
        await cases.advance(by_itself, case, Action.END_ADVICE)
    states = await _check_states(work, case)
    if states is None or CheckStatus.RUNNING in states:
        return
    by_rule = work.definition(case).assessment.by == "rule" and case.round == 1
    if by_rule and CheckStatus.UNKNOWN not in states:
        await cases.complete_tasks(work, case, "ASSESS")
        await cases.pass_on(work, case)
    else:
        await cases.open_task(by_itself, case, "ASSESS")


async def heed(work: Work, case: Case, before: Json) -> None:
    """What the sources told of the applicant since `before` that a person must know.

    Who died or moved away gets no more messages or is no resident any more: nothing is granted by itself, a
    person looks what remains.
    """
    was, now = before.get("person") or {}, case.facts.get("person") or {}
    if now.get("deceased_on") and not was.get("deceased_on"):
        await cases.open_task(work, case, "APPLICANT_DECEASED", {"deceased_on": now["deceased_on"]})
    here = work.settings.municipality.nis
    if _nis(was) == here and now and _nis(now) != here and not now.get("deceased_on"):
        await cases.open_task(work, case, "APPLICANT_MOVED", {"to": (now.get("address") or {}).get("city")})


def _nis(person: Json) -> str | None:
    return (person.get("address") or {}).get("nis")


async def _awaits_advice(work: Work, case: Case) -> bool:
    found = await work.session.scalar(
        select(col(Advice.id))
        .where(
            col(Advice.case_id) == case.id,
            col(Advice.round) == case.round,
            col(Advice.status).in_(AWAITED),
        )
        .limit(1)
    )
    return found is not None


async def _check_states(work: Work, case: Case) -> set[CheckStatus] | None:
    """Of this round; None while its checks are not begun: the sources are asked first."""
    if case.facts.get(CHECKED_IN) != case.round:
        return None
    found = await work.session.scalars(
        select(col(Check.status)).where(
            col(Check.case_id) == case.id,
            col(Check.round) == case.round,
            col(Check.kind).in_([check.key for check in work.definition(case).checks]),
        )
    )
    return set(found.all())
