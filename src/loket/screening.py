"""May this application be handled at all (ontvankelijkheid): rules first, a person where they doubt."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from loket import cases, co_applicants, duplicates, entitlements, orders
from loket.co_applicants import Asked
from loket.facts import facts_of as facts_of
from loket.lifecycle import CHECK, Action, CheckStatus, PartAction
from loket.records import Application, Case, Check, EffectKind
from loket.rules import Outcome, Verdict, conclude, evaluate_all
from loket.sources import fresh
from loket.work import Work, the_system

SOURCES = "SOURCES"
"""The check that authentic sources were asked."""


async def screen(work: Work, case: Case) -> None:
    """Let the rules speak, once the sources have, and who must confirm; a reopened case is a person's from
    then on.
    """
    asked = await co_applicants.ask(work, case)
    if asked is Asked.WAITS:
        return
    if case.round > 1:
        await _refer(work, case, [], "reopened")
        return
    if not await sources_complete(work, case):
        return
    if asked is Asked.UNKNOWN:
        await _refer(work, case, [], "it is not known who must confirm")
        return
    definition = work.definition(case)
    verdicts = evaluate_all(definition.rules.screening, await facts_of(work, case))
    outcome = conclude(verdicts)
    if definition.screening.by == "handler" or outcome is Outcome.REFER:
        await _refer(work, case, verdicts, "the rules leave it to a person")
    elif definition.screening.by == "rule_then_handler":
        await _refer(work, case, verdicts, "a handler confirms")
    elif outcome is Outcome.NOT_MET:
        await cases.advance(work, case, Action.DECLARE_INADMISSIBLE, data=motivation(verdicts))
    else:
        await cases.advance(work, case, Action.DECLARE_ADMISSIBLE, data=_met(verdicts))


async def sources_complete(work: Work, case: Case) -> bool:
    """Whether the sources answered not long ago; if not, they are asked (again) and the case waits."""
    check = await _check(work, case)
    if fresh(case.facts, "person", work.now) and fresh(case.facts, "household", work.now):
        if check is None:
            work.session.add(
                Check(
                    case_id=case.id, kind=SOURCES, round=case.round, status=CheckStatus.MET, code="FRESH",
                    started_at=work.now, ended_at=work.now,
                )
            )  # fmt: skip
        return True
    if check is None:
        work.session.add(Check(case_id=case.id, kind=SOURCES, round=case.round, started_at=work.now))
    elif check.status is CheckStatus.RUNNING:
        return False
    else:
        cases.move(work.as_actor(the_system()), CHECK, check, PartAction.REPEAT)
        check.code, check.reference, check.started_at, check.ended_at = "", "", work.now, None
    await work.leave(EffectKind.MAGDA_CHECK, {"round": case.round}, case=case)
    return False


async def sources_answered(work: Work, case: Case, complete: bool, code: str, reference: str) -> None:
    """What became of asking: the case goes on with facts, or waits visibly for a person."""
    check = await _check(work, case)
    if check is not None and check.status in (CheckStatus.RUNNING, CheckStatus.UNKNOWN):
        check.status = CheckStatus.MET if complete else CheckStatus.UNKNOWN
        check.code, check.reference, check.ended_at = code, reference, work.now
    application = await work.session.get_one(Application, case.application_id)
    if not complete:
        await cases.open_task(work, case, "SOURCES_UNKNOWN", {"code": code})
        return
    await cases.complete_tasks(work, case, "SOURCES_UNKNOWN")
    await orders.place(work, case, application.cart)
    await entitlements.claim(work, case)
    await duplicates.note(work, case)
    if cases.machine(work.definition(case)).find((case.stage, case.status), Action.DECLARE_ADMISSIBLE):
        await screen(work, case)


async def declare_admissible(work: Work, case: Case) -> None:
    """A handler's own word."""
    await cases.advance(work, case, Action.DECLARE_ADMISSIBLE)
    await cases.complete_tasks(work, case, "REFERRED", "SOURCES_UNKNOWN", "TERM_ALARM", "ANSWER_LAPSED")


async def declare_inadmissible(work: Work, case: Case, *, legal: str, fact: str, message: str) -> None:
    """A handler's own word, motivated in law and in fact (wet van 29 juli 1991).

    Raises:
        ManyRefused, Refused: REQUIRED for a motivation that is missing.
    """
    data = {
        "reasons": [cases.said(message or fact, "message")],
        "facts": [cases.said(fact, "motivationFactual")],
        "legal": [cases.said(legal, "motivationLegal")],
    }
    await cases.advance(work, case, Action.DECLARE_INADMISSIBLE, data=data)


# --- motivations ------------------------------------------------------------------------------


def motivation(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The reasons of those rules that said no: for the applicant, in fact and in law."""
    against = [verdict for verdict in verdicts if verdict.outcome is Outcome.NOT_MET]
    return {
        "rules": [verdict.rule_key for verdict in against],
        "reasons": [verdict.message.nl for verdict in against],
        "facts": [verdict.fact.nl for verdict in against],
        "legal": [verdict.legal.nl for verdict in against],
    }


def _met(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {"rules": [verdict.rule_key for verdict in verdicts]}


async def _refer(work: Work, case: Case, verdicts: Sequence[Verdict], why: str) -> None:
    doubts = {verdict.rule_key: verdict.why for verdict in verdicts if verdict.outcome is Outcome.REFER}
    proposal = {str(Outcome.MET): "ADMISSIBLE", str(Outcome.NOT_MET): "INADMISSIBLE"}.get(conclude(verdicts))
    told: dict[str, Any] = {"proposal": proposal} | motivation(verdicts) if verdicts and proposal else {}
    await cases.advance(work, case, Action.REFER, data={"why": why, "rules": list(doubts)})
    like = await duplicates.like(work, case)
    if like:  # a handler looks at them side by side
        told["duplicates"] = {key: [one.reference for one in others] for key, others in like.items()}
    await cases.open_task(work, case, "REFERRED", {"why": why, "doubts": doubts} | told)


async def _check(work: Work, case: Case) -> Check | None:
    found = await work.session.scalars(
        select(Check).where(
            col(Check.case_id) == case.id, col(Check.kind) == SOURCES, col(Check.round) == case.round
        )
    )
    return found.one_or_none()
