"""May this application be handled at all (ontvankelijkheid): rules first, a person where they doubt."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from loket import cases, orders
from loket.definition import Definition, Rule
from loket.lifecycle import Action, CheckStatus, TimerKind
from loket.records import Application, Case, Check, EffectKind
from loket.rules import (
    Address,
    Applicant,
    Facts,
    Household,
    Municipality,
    Outcome,
    Quota,
    Verdict,
    conclude,
    evaluate_all,
)
from loket.sources import fresh
from loket.work import Work

SOURCES = "SOURCES"
"""The check that authentic sources were asked."""


async def screen(work: Work, case: Case) -> None:
    """Let the rules speak, once the sources have; a reopened case is a person's from the start."""
    if case.round > 1:
        await _refer(work, case, [], "reopened")
        return
    if not await sources_complete(work, case):
        return
    definition = work.definition(case)
    verdicts = evaluate_all(definition.rules.screening, await facts_of(work, case))
    outcome = conclude(verdicts)
    if definition.screening.by == "handler" or outcome is Outcome.REFER:
        await _refer(work, case, verdicts, "the rules leave it to a person")
    elif outcome is Outcome.NOT_MET:
        await cases.advance(work, case, Action.DECLARE_INADMISSIBLE, data=motivation(verdicts))
    elif definition.screening.by == "rule_then_handler":
        await _refer(work, case, verdicts, "a handler confirms")
    else:
        await cases.advance(work, case, Action.DECLARE_ADMISSIBLE, data=_met(verdicts))


async def sources_complete(work: Work, case: Case) -> bool:
    """Whether the sources answered not long ago; if not, they are asked and the case waits."""
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


async def request_information(work: Work, case: Case, question: str) -> None:
    """Ask the applicant for more; the term stands still meanwhile where the procedure allows it."""
    definition = work.definition(case)
    answer_by = work.today + timedelta(days=definition.information.answer_within_days)
    data = {"question": cases.said(question, "question"), "answer_by": answer_by.isoformat()}
    await cases.advance(work, case, Action.REQUEST_INFORMATION, data=data)
    if definition.term.suspendable:
        case.suspensions = [
            *case.suspensions,
            {"reason": "INFORMATION", "from": work.today.isoformat(), "to": None},
        ]
    days = definition.information.answer_within_days
    await work.arm(TimerKind.ANSWER, work.now + timedelta(days=days), case=case)


async def supply_information(work: Work, case: Case, answer: str) -> None:
    await cases.advance(work, case, Action.SUPPLY_INFORMATION, data={"answer": cases.said(answer, "answer")})
    await work.disarm(TimerKind.ANSWER, case=case)
    await cases.end_suspension(work, case)
    await cases.open_task(work, case, "REFERRED", {"why": "the applicant answered"})


async def answer_lapsed(work: Work, case: Case) -> None:
    """No answer came: a handler decides on what there is."""
    await cases.advance(work, case, Action.STOP_WAITING)
    await work.disarm(TimerKind.ANSWER, case=case)
    await cases.end_suspension(work, case)
    await cases.open_task(work, case, "ANSWER_LAPSED")


# --- facts and motivations --------------------------------------------------------------------


async def facts_of(work: Work, case: Case) -> Facts:
    """What the rules may read of this case."""
    application = await work.session.get_one(Application, case.application_id)
    person = case.facts.get("person") or {}
    household = case.facts.get("household") or {}
    quota = case.facts.get("quota") or {}
    has_person, has_household = (fresh(case.facts, part, work.now) for part in ("person", "household"))
    birth_on = date.fromisoformat(person["birth_on"]) if person.get("birth_on") else None
    address = person.get("address") or {}
    municipality = work.settings.municipality
    return Facts(
        municipality=Municipality(municipality.nis, municipality.name, municipality.postal_code),
        today=work.today,
        channel=case.channel,
        application=application.answers,
        applicant=Applicant(
            sourced=has_person,
            age=_age(birth_on, work.today) if birth_on else None,
            deceased=bool(person.get("deceased_on")) if has_person else None,
            address=Address(
                **{k: address.get(k) for k in ("street", "number", "box", "postal_code", "city", "nis")}
            ),
        ),
        household=Household(
            sourced=has_household,
            members=household.get("members"),
            ordered_this_year=quota.get("ordered_this_year") or {},
            ordered_ever=quota.get("ordered_ever") or {},
        ),
        cart=orders.cart_lines(application.cart),
        quota=Quota(sourced=bool(quota), within_maximum=quota.get("within_maximum")),
        sources_complete=has_person and has_household,
    )


def motivation(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The reasons of those rules that said no: for the applicant, in fact and in law."""
    against = [verdict for verdict in verdicts if verdict.outcome is Outcome.NOT_MET]
    return {
        "rules": [verdict.rule_key for verdict in against],
        "reasons": [verdict.message.nl for verdict in against],
        "facts": [verdict.fact.nl for verdict in against],
        "legal": [verdict.legal.nl for verdict in against],
    }


def rules_named(definition: Definition, keys: Sequence[str]) -> list[Rule]:
    """To say a recorded refusal again in another language."""
    rules = (*definition.rules.screening, *definition.rules.approval)
    return [rule for rule in rules if rule.key in keys]


def _met(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {"rules": [verdict.rule_key for verdict in verdicts]}


async def _refer(work: Work, case: Case, verdicts: Sequence[Verdict], why: str) -> None:
    doubts = {verdict.rule_key: verdict.why for verdict in verdicts if verdict.outcome is Outcome.REFER}
    await cases.advance(work, case, Action.REFER, data={"why": why, "rules": list(doubts)})
    await cases.open_task(work, case, "REFERRED", {"why": why, "doubts": doubts})


async def _check(work: Work, case: Case) -> Check | None:
    found = await work.session.scalars(
        select(Check).where(
            col(Check.case_id) == case.id, col(Check.kind) == SOURCES, col(Check.round) == case.round
        )
    )
    return found.one_or_none()


def _age(birth_on: date, today: date) -> int:
    return today.year - birth_on.year - ((today.month, today.day) < (birth_on.month, birth_on.day))
