"""What is decided on a case, by rule or by a handler, and why (besluit)."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from loket import cases
from loket.lifecycle import Action, DecisionStatus, TimerKind
from loket.records import Case, Decision
from loket.rules import Outcome, conclude, evaluate_all
from loket.screening import facts_of, motivation
from loket.work import Work


async def decide(work: Work, case: Case) -> None:
    """Decide by rule where the procedure says so; else a handler has a task."""
    definition = work.definition(case)
    by_rule = definition.decision is not None and definition.decision.by == "rule"
    verdicts = evaluate_all(definition.rules.approval, await facts_of(work, case))
    outcome = conclude(verdicts)
    if not by_rule or case.round > 1 or outcome is Outcome.REFER:
        doubts = [verdict.rule_key for verdict in verdicts if verdict.outcome is Outcome.REFER]
        await cases.advance(work, case, Action.REFER, data={"rules": doubts})
        await cases.open_task(work, case, "DECIDE", {"doubts": doubts})
        return
    if outcome is Outcome.NOT_MET:
        said = motivation(verdicts)
        await _write(work, case, DecisionStatus.REFUSED, said["legal"], said["facts"])
        await cases.advance(work, case, Action.REFUSE, data=said)
        return
    legal = [rule.legal.nl for rule in definition.rules.approval] or [
        one.nl for one in definition.legal_basis
    ]
    facts = [rule.fact.nl for rule in definition.rules.approval] or ["De aanvraag is ontvankelijk."]
    await _write(work, case, DecisionStatus.GRANTED, legal, facts)
    await cases.advance(work, case, Action.GRANT)
    await cases.pass_on(work, case)


async def take(work: Work, case: Case, *, granted: bool, legal: str, fact: str, message: str = "") -> None:
    """A handler decides.

    Raises:
        Refused: REQUIRED when a refusal is not motivated in law and in fact (wet van 29 juli 1991);
            TOO_LARGE.
    """
    for value, field in ((legal, "motivationLegal"), (fact, "motivationFactual"), (message, "message")):
        if value.strip() or (not granted and field != "message"):
            cases.said(value, field)
    status = DecisionStatus.GRANTED if granted else DecisionStatus.REFUSED
    data: dict[str, Any] = {}
    if not granted:
        data = {"reasons": [message.strip() or fact], "facts": [fact], "legal": [legal]}
    definition = work.definition(case)
    grounds = [legal] if legal.strip() else [one.nl for one in definition.legal_basis]
    table = cases.machine(definition)
    if table.find((case.stage, case.status), Action.GRANT) is None:
        raise cases.not_allowed(work, case)
    await _write(work, case, status, grounds, [fact])
    await cases.advance(work, case, Action.GRANT if granted else Action.REFUSE, data=data)
    await cases.complete_tasks(work, case, "DECIDE", "ANSWER_LAPSED", "REFERRED", "TERM_ALARM", "TERM_LAPSED")
    if granted:
        await cases.pass_on(work, case)


async def _write(work: Work, case: Case, status: DecisionStatus, legal: list[str], facts: list[str]) -> None:
    await work.disarm(TimerKind.TERM, TimerKind.TERM_ALARM, case=case)
    values = {
        "status": status,
        "by_rule": not work.actor.is_staff,
        "staff_id": work.actor.id if work.actor.is_staff else None,
        "motivation_legal": "\n".join(legal),
        "motivation_factual": "\n".join(facts),
        "decided_at": work.now,
    }
    row = insert(Decision).values(id=uuid7(), case_id=case.id, round=case.round, **values)
    await work.session.execute(row.on_conflict_do_update(index_elements=["case_id", "round"], set_=values))
