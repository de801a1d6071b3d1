"""What is decided on a case, by rule or by a handler, and why; how any decision becomes final (besluit)."""

from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from loket import agenda_items, cases, checks, entitlements, letters, proposals, wording
from loket.agenda_items import Proposed
from loket.errors import ErrorCode, Refused
from loket.facts import facts_of
from loket.lifecycle import DECISION, Action, DecisionStatus, PartAction, TimerKind
from loket.proposals import GRANTING, Doubt, Proposal, Wish
from loket.records import Case, Decision, Person
from loket.work import Work

ENDS: dict[DecisionStatus, tuple[PartAction, Action]] = {
    DecisionStatus.GRANTED: (PartAction.GRANT, Action.GRANT),
    DecisionStatus.PARTLY_GRANTED: (PartAction.GRANT_PARTLY, Action.GRANT_PARTLY),
    DecisionStatus.REFUSED: (PartAction.REFUSE, Action.REFUSE),
}
"""How a decision, and its case with it, gets to each outcome."""
SIGNATORIES = 2
"""Of a body's decision: its chair or who stands in, and the general director."""
_SETTLED = (
    "DECIDE", "CONFIRM_DECISION", "ASSESS", "ANSWER_LAPSED", "REFERRED", "TERM_ALARM", "TERM_LAPSED",
    "DECISION_UNSIGNED", "DECISION_REMOVED", "NO_SUCCESSOR", "MINUTES_WARNING",
)  # fmt: skip
"""Tasks that a final decision settles."""


async def of(work: Work, case: Case) -> Decision | None:
    """The decision of the present round, locked; behind the lock of its case."""
    found = await work.session.scalars(
        select(Decision)
        .where(col(Decision.case_id) == case.id, col(Decision.round) == case.round)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


# --- by rule ----------------------------------------------------------------------------------


async def decide(work: Work, case: Case) -> None:
    """The case is ready to be decided on: by rule where the procedure says so, else by people."""
    definition = work.definition(case)
    decision = await of(work, case)
    if decision is not None and decision.status is DecisionStatus.DRAFT:
        if definition.decision is not None and definition.decision.by == "handler":
            await cases.open_task(work, case, "DECIDE")
        return
    by_rule = definition.decision is not None and definition.decision.by == "rule"
    proposal, doubts = None, list[str]()
    await entitlements.claim(work, case)
    try:
        proposal = proposals.propose(work, case, await facts_of(work, case))
    except Doubt as doubt:
        doubts = doubt.rules
    except Refused:  # it wants words that no rule has
        doubts = ["motivation"]
    if not by_rule or proposal is None or case.round > 1 or decision is not None:
        await cases.advance(work, case, Action.REFER, data={"rules": doubts})
        await cases.open_task(work, case, "DECIDE", {"doubts": doubts})
        return
    decision = await _write(work, case, decision, proposal)
    await conclude(work, case, decision, proposal.outcome, said(proposal))


# --- by a handler -----------------------------------------------------------------------------


async def prepare(work: Work, case: Case, wish: Wish) -> Decision | None:
    """Draft what is proposed, by the rules or as the handler wishes, with its motivation.

    None where the rules would speak of what the sources said too long ago: they are asked again, and the
    handler tries later, or says what is proposed.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED while advice is awaited, or once the draft is on an agenda;
            RULE_NOT_MET where a rule leaves it to the handler, who said nothing; REQUIRED and VALIDATION for
            a motivation that is missing or names somebody.
    """
    if _step(work, case, Action.PREPARE_DECISION) is None:
        raise cases.not_allowed(work, case)
    decision = await of(work, case)
    if decision is not None and (
        DECISION.find(decision.status, PartAction.PREPARE) is None
        or is_away(decision)
        or (decision.status is DecisionStatus.DRAFT and decision.signatories)  # its body took it already
    ):
        raise Refused(
            ErrorCode.TRANSITION_NOT_ALLOWED, status=decision.status, extra={"status": decision.status}
        )
    if not wish.is_explicit and not await checks.refresh(work, case):
        return None
    proposal = await _proposed(work, case, wish)
    decision = await _write(work, case, decision, proposal)
    if (rules := work.definition(case).decision) is not None and rules.body is not None:
        person = await work.session.get_one(Person, case.person_id)
        agenda_items.check_words(work, Proposed(case, person, decision))
    outcome = {"proposal": proposal.outcome, "amount": _plain(proposal.amount)}
    await cases.advance(work, case, Action.PREPARE_DECISION, data=outcome)
    await cases.complete_tasks(
        work, case, "DECIDE", "ASSESS", "REFERRED", "ANSWER_LAPSED", "DECISION_REMOVED", "MINUTES_WARNING"
    )
    return decision


async def take(work: Work, case: Case, *, granted: bool, legal: str, fact: str, message: str = "") -> None:
    """A handler decides, as was proposed where something was.

    Raises:
        Refused: NOT_ALLOWED where a body decides; REQUIRED when a refusal is not motivated in law and in fact
            (wet van 29 juli 1991); RULE_NOT_MET where a rule leaves open what is granted; TOO_LARGE.
    """
    for value, field in ((legal, "motivationLegal"), (fact, "motivationFactual"), (message, "message")):
        if value.strip() or (not granted and field != "message"):
            cases.said(value, field)
    definition = work.definition(case)
    if definition.decision is not None and definition.decision.body is not None:
        raise Refused(ErrorCode.NOT_ALLOWED)
    if _step(work, case, Action.GRANT if granted else Action.REFUSE) is None:
        raise cases.not_allowed(work, case)
    decision = await of(work, case)
    drafted = decision is not None and decision.status is DecisionStatus.DRAFT
    words = Wish(legal=legal, fact=fact, message=message)
    if granted and drafted and decision is not None and decision.proposal in GRANTING:
        if legal.strip():
            decision.motivation_legal = legal.strip()
        if fact.strip():
            decision.motivation_factual = fact.strip()
        proposal = _as_drafted(decision)
    elif definition.benefits:
        wish = words if granted else replace(words, outcome=DecisionStatus.REFUSED)
        proposal = await _proposed(work, case, wish)
        if granted and proposal.outcome is DecisionStatus.REFUSED:
            raise _rule_not_met(work, case, proposal.rules or ["benefits"])
        decision = await _write(work, case, decision, proposal)
    else:
        proposal = _plainly(work, case, words, granted=granted)
        decision = await _write(work, case, decision, proposal)
    assert decision is not None
    decision.staff_id, decision.by_rule = work.actor.id, False
    await conclude(work, case, decision, proposal.outcome, said(proposal))


def _plainly(work: Work, case: Case, words: Wish, *, granted: bool) -> Proposal:
    """A decision on which the definition has no sums: yes or no, in the handler's words."""
    basis = [one.nl for one in work.definition(case).legal_basis]
    return Proposal(
        DecisionStatus.GRANTED if granted else DecisionStatus.REFUSED,
        None,
        [],
        [words.legal] if words.legal.strip() else basis,
        [words.fact],
        [] if granted else [words.message.strip() or words.fact],
    )


async def confirm(work: Work, case: Case, wish: Wish) -> None:
    """The handler says what the body decided, where it changed the proposal.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when nothing is to be confirmed; RULE_NOT_MET until it is signed;
            REQUIRED without an outcome, or a motivation for one that differs from the proposal.
    """
    decision = await of(work, case)
    if decision is None or decision.status is not DecisionStatus.TO_CONFIRM:
        raise cases.not_allowed(work, case)
    if wish.outcome is None:
        raise Refused(ErrorCode.REQUIRED, path=["input", "outcome"])
    if not is_signed(decision):
        raise Refused(
            ErrorCode.RULE_NOT_MET,
            extra={"rule": "signatories"},
            text="Het besluit is nog niet door twee personen ondertekend."
            if work.actor.language == "nl"
            else "The decision is not signed by two people yet.",
        )
    own_words = wish.outcome is decision.proposal or bool(wish.legal.strip() and wish.fact.strip())
    if not own_words:
        missing = "motivationFactual" if wish.legal.strip() else "motivationLegal"
        raise Refused(ErrorCode.REQUIRED, path=["input", missing])
    if wish.outcome in GRANTING and wish.amount is None and decision.benefits:
        raise Refused(ErrorCode.REQUIRED, path=["input", "amount"])
    proposal = await _proposed(work, case, _with_words_of(decision, wish))
    decision.amount, decision.benefits = proposal.amount, proposal.benefits
    decision.motivation_legal = "\n".join(proposal.legal)
    decision.motivation_factual = "\n".join(proposal.facts)
    decision.conditions = proposal.conditions or decision.conditions
    decision.staff_id = work.actor.id
    await conclude(work, case, decision, proposal.outcome, said(proposal) | {"text": decision.text})


def _with_words_of(decision: Decision, wish: Wish) -> Wish:
    return replace(
        wish,
        legal=wish.legal.strip() or decision.motivation_legal,
        fact=wish.fact.strip() or decision.motivation_factual,
    )


# --- becoming final ---------------------------------------------------------------------------


async def conclude(
    work: Work, case: Case, decision: Decision, outcome: DecisionStatus, data: dict[str, Any]
) -> None:
    """It is decided: the case goes on or ends, the term is met, and the letter is written."""
    of_part, of_case = ENDS[outcome]
    cases.move(work, DECISION, decision, of_part)
    decision.decided_at = work.now
    decision.decided_on = decision.decided_on or work.today
    if outcome is DecisionStatus.REFUSED:
        decision.amount = None
        decision.benefits = [one | {"granted": False, "amount": "0"} for one in decision.benefits]
    await work.disarm(
        TimerKind.TERM, TimerKind.TERM_ALARM, TimerKind.MINUTES_POLL, TimerKind.SUCCESSOR_END, case=case
    )
    event = await cases.advance(work, case, of_case, data=data)
    refused = [one["key"] for one in decision.benefits if not one["granted"]]
    if refused:  # another application may have them
        await entitlements.release(work, case, *refused)
    await cases.complete_tasks(work, case, *_SETTLED)
    await letters.queue_decision(work, case, decision, event)
    if outcome in GRANTING:
        await cases.pass_on(work, case)


def is_signed(decision: Decision) -> bool:
    """Whether two people signed: only then a body's decision is one."""
    signed = [one["name"] for one in decision.signatories if one.get("signed_on")]
    return len({" ".join(name.split()).casefold() for name in signed}) >= SIGNATORIES


def is_away(decision: Decision) -> bool:
    """Whether the draft lies with the minutes system."""
    return decision.agenda_item_id is not None and decision.status is not DecisionStatus.WITHDRAWN


def said(proposal: Proposal) -> dict[str, Any]:
    """What an event tells of a decision: its sums, and why not what was not granted."""
    granted = [one for one in proposal.benefits if one["granted"]]
    data: dict[str, Any] = {
        "amount": _plain(proposal.amount),
        "benefits": [one["key"] for one in granted],
        "conditions": proposal.conditions or None,
    }
    if proposal.outcome is not DecisionStatus.GRANTED:
        data |= {
            "rules": proposal.rules,
            "reasons": proposal.reasons,
            "facts": proposal.facts,
            "legal": proposal.legal,
        }
    return {name: value for name, value in data.items() if value}


def as_proposed(work: Work, case: Case, decision: Decision) -> dict[str, Any]:
    """`said` of a decision that its body took as it was drafted."""
    refused = [one["key"] for one in decision.benefits if not one["granted"]]
    known = {one.key: one for one in work.definition(case).benefits}
    drafted = _as_drafted(decision)
    values = proposals.values(work, case, work.definition(case))
    reasons = [wording.line(known[key].message, "nl", values) or "" for key in refused if key in known]
    facts = set(drafted.facts)
    in_its_words = all(
        (wording.line(known[key].fact, "nl", values) or known[key].fact.nl) in facts
        for key in refused
        if key in known
    )
    if refused and in_its_words:
        drafted = replace(drafted, reasons=[one for one in reasons if one], rules=refused)
    return said(drafted)


# --- writing it down --------------------------------------------------------------------------


async def _proposed(work: Work, case: Case, wish: Wish) -> Proposal:
    await entitlements.claim(work, case)  # what was let go, by this case or another, can be had
    try:
        return proposals.propose(work, case, await facts_of(work, case), wish)
    except Doubt as doubt:
        raise _rule_not_met(work, case, doubt.rules) from doubt


def _rule_not_met(work: Work, case: Case, rules: list[str]) -> Refused:
    """A rule leaves it to the handler: its title says what to look at."""
    definition = work.definition(case)
    titles = {one.key: one.title for one in definition.rules.approval}
    titles |= {one.key: one.title for one in definition.benefits}
    language = work.actor.language
    named = ", ".join(titles[key].get(language) if key in titles else key for key in rules)
    choose = "kies zelf een uitkomst" if language == "nl" else "choose an outcome yourself"
    return Refused(
        ErrorCode.RULE_NOT_MET,
        path=["input", "outcome"],
        extra={"rule": rules[0]},
        reason=f"{named}: {choose}",
    )


async def _write(work: Work, case: Case, decision: Decision | None, proposal: Proposal) -> Decision:
    """The draft of this round, new or anew."""
    if decision is None:
        decision = Decision(
            case_id=case.id,
            round=case.round,
            status=DecisionStatus.DRAFT,
            motivation_legal="",
            motivation_factual="",
        )
        work.session.add(decision)
    else:
        cases.move(work, DECISION, decision, PartAction.PREPARE)
        decision.agenda_item_id = decision.document_id = decision.decided_at = decision.decided_on = None
        decision.document_sha256 = decision.text = decision.withdrawn_reason = ""
        decision.withdrawn_at = None
        decision.signatories = []
    rules = work.definition(case).decision
    decision.body = rules.body if rules else None
    decision.by_rule = not work.actor.is_staff
    decision.staff_id = work.actor.id if work.actor.is_staff else None
    decision.proposal = proposal.outcome
    decision.amount = proposal.amount
    decision.benefits = proposal.benefits
    decision.conditions = proposal.conditions
    decision.motivation_legal = "\n".join(proposal.legal)
    decision.motivation_factual = "\n".join(proposal.facts)
    await work.session.flush()
    return decision


def _as_drafted(decision: Decision) -> Proposal:
    assert decision.proposal is not None
    legal, facts = decision.motivation_legal.splitlines(), decision.motivation_factual.splitlines()
    return Proposal(
        decision.proposal,
        decision.amount,
        decision.benefits,
        legal,
        facts,
        [] if decision.proposal is DecisionStatus.GRANTED else facts,
        [],
        decision.conditions,
    )


def _step(work: Work, case: Case, action: Action) -> object | None:
    step = cases.machine(work.definition(case)).find((case.stage, case.status), action)
    return step if step is not None and step.by & cases.roles_in(work, case) else None


def _plain(amount: object) -> str | None:
    return None if amount is None else str(amount)
