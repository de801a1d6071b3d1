"""What is proposed on a case, by rule or by its handler, and in which words (voorstel van besluit)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from loket import cases, wording
from loket.definition import Benefit, Definition, Text
from loket.errors import ErrorCode, Refused
from loket.lifecycle import DecisionStatus
from loket.records import Case, Json
from loket.rules import Facts, Outcome, Ruling, Verdict, conclude, evaluate_all, weigh
from loket.terms import BRUSSELS
from loket.work import Work

GRANTING = frozenset({DecisionStatus.GRANTED, DecisionStatus.PARTLY_GRANTED})
OUTCOMES = GRANTING | {DecisionStatus.REFUSED}
LARGEST_AMOUNT = Decimal(1_000_000)
"""EUR; above it somebody typed wrong."""
_TAKEN = Text(
    nl="Deze toelage is dit jaar al gevraagd of toegekend, en kan maar één keer per jaar.",
    en="This allowance was asked or granted this year already, and can be had once a year.",
)
_TAKEN_FACT = Text(nl="De toelage is voor dit jaar al gevraagd of toegekend in een ander dossier.")


@dataclass(frozen=True)
class Wish:
    """What a handler wants otherwise than the rules say; what is empty is left to them."""

    outcome: DecisionStatus | None = None
    amount: Decimal | None = None
    """EUR, of all benefits together."""
    benefits: Mapping[str, bool] = field(default_factory=dict)
    """Key of a benefit → whether it is granted."""
    conditions: str = ""
    legal: str = ""
    fact: str = ""
    message: str = ""

    @property
    def is_explicit(self) -> bool:
        return self.outcome is not None or bool(self.benefits)


@dataclass(frozen=True)
class Proposal:
    """What would be decided, and why. `reasons` are for the applicant, `rules` name what said no."""

    outcome: DecisionStatus
    amount: Decimal | None
    benefits: list[Json]
    legal: list[str]
    facts: list[str]
    reasons: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    conditions: str = ""


class Doubt(Exception):
    """The rules leave it to a person: `rules` names which ones, `why` what kept each from answering."""

    def __init__(self, why: Mapping[str, str]) -> None:
        self.why = dict(why)
        super().__init__(", ".join(f"{key}: {reason}" for key, reason in self.why.items()))

    @property
    def rules(self) -> list[str]:
        return list(self.why)


# --- what the rules say, and what a person makes of it ----------------------------------------


def propose(work: Work, case: Case, facts: Facts, wish: Wish | None = None) -> Proposal:
    """What is due by the definition, with what a handler wishes otherwise.

    Raises:
        Doubt: a rule asks for a person, and the wish does not answer it.
        Refused: VALIDATION for a wish that contradicts itself; REQUIRED for a motivation that is missing.
    """
    wish, definition = wish or Wish(), work.definition(case)
    _check(definition, wish)
    approval = evaluate_all(definition.rules.approval, facts)
    stated = conclude(approval)
    if stated is Outcome.REFER and wish.outcome is None:
        raise Doubt({one.rule_key: one.why for one in approval if one.outcome is Outcome.REFER})
    day = definition.reference_day(case.submitted_at.astimezone(BRUSSELS).date())
    overall_no = stated is Outcome.NOT_MET
    weighed = _weigh(definition, facts, wish, work.actor.language, overall_no=overall_no)
    outcome = _outcome(weighed, stated, wish)
    granted = [one for one in weighed if one.granted]
    proposal = _in_words(work, case, definition, outcome, weighed, approval)
    proposal = replace(
        proposal, amount=_amount(outcome, granted, day, wish), conditions=wish.conditions.strip()
    )
    proposal = replace(proposal, benefits=_listed(weighed, day, proposal.amount))
    return _motivated(proposal, wish, departs=_departs(weighed, stated, outcome))


@dataclass(frozen=True)
class _Weighed:
    """A benefit that was asked: what the rules say (None: they ask for a person), and what is proposed."""

    benefit: Benefit
    by_rule: bool | None
    granted: bool
    taken: bool
    """Its address or person got it this year already, or asked it first, in another case."""


def _weigh(
    definition: Definition, facts: Facts, wish: Wish, language: str, *, overall_no: bool
) -> list[_Weighed]:
    weighed: list[_Weighed] = []
    doubts: dict[str, str] = {}
    for benefit in definition.benefits:
        asked = weigh(benefit.asked, facts) if benefit.asked else Ruling(Outcome.MET)
        if asked.outcome is Outcome.NOT_MET:
            if wish.benefits.get(benefit.key):
                raise invalid("benefits", f"{benefit.key} was not asked")
            continue
        taken = facts.claims.get(benefit.key) == "TAKEN"
        by_rule, why = _due(benefit, asked, facts)
        if overall_no or taken:
            by_rule = False
        wished = wish.benefits.get(benefit.key)
        if wished is None and wish.outcome in (DecisionStatus.GRANTED, DecisionStatus.REFUSED):
            wished = wish.outcome is DecisionStatus.GRANTED
        if wished and taken:
            reason = _TAKEN.get(language)
            raise Refused(ErrorCode.RULE_NOT_MET, extra={"rule": benefit.key}, reason=reason)
        if by_rule is None and wished is None:
            doubts[benefit.key] = why
        weighed.append(_Weighed(benefit, by_rule, bool(by_rule if wished is None else wished), taken))
    if doubts:
        raise Doubt(doubts)
    if definition.benefits and not weighed and wish.outcome is None:
        raise Doubt({"benefits": "no benefit is asked"})
    return weighed


def _due(benefit: Benefit, asked: Ruling, facts: Facts) -> tuple[bool | None, str]:
    """Whether the rules grant it; None with the reason where they leave it to a person."""
    claim = facts.claims.get(benefit.key, "FREE")
    ruling = weigh(benefit.when, facts)
    if ruling.outcome is Outcome.NOT_MET:
        return False, ""
    for one in (asked, ruling):
        if one.outcome is Outcome.REFER:
            return None, one.why
    if claim not in ("FREE", "TAKEN"):
        return None, "not known yet whether another application has it"
    return claim == "FREE", ""


def _outcome(weighed: Sequence[_Weighed], stated: Outcome, wish: Wish) -> DecisionStatus:
    if not weighed:
        by_rule = DecisionStatus.REFUSED if stated is Outcome.NOT_MET else DecisionStatus.GRANTED
        return wish.outcome or by_rule
    granted = sum(one.granted for one in weighed)
    outcome = DecisionStatus.PARTLY_GRANTED if granted else DecisionStatus.REFUSED
    outcome = DecisionStatus.GRANTED if granted == len(weighed) else outcome
    partly_of_one = wish.outcome is DecisionStatus.PARTLY_GRANTED and granted and wish.amount is not None
    if wish.outcome is not None and wish.outcome is not outcome and not partly_of_one:
        raise invalid("outcome", f"{wish.outcome} does not go with the benefits: they make it {outcome}")
    return wish.outcome or outcome


def _amount(outcome: DecisionStatus, granted: Sequence[_Weighed], day: date, wish: Wish) -> Decimal | None:
    if outcome is DecisionStatus.REFUSED:
        return None
    prices = [price for one in granted if (price := amount_on(one.benefit, day)) is not None]
    if wish.amount is not None:
        return wish.amount
    if granted and len(prices) < len(granted):
        raise invalid("amount", f"the definition has no amount for {day}")
    return sum(prices, Decimal(0)) if prices else None


def amount_on(benefit: Benefit, day: date) -> Decimal | None:
    """EUR, by the reference date `day`."""
    return next((price.amount for price in benefit.amounts if price.holds(day)), None)


def _listed(weighed: Sequence[_Weighed], day: date, total: Decimal | None) -> list[Json]:
    granted = [one for one in weighed if one.granted]
    listed: list[Json] = []
    for one in weighed:
        amount = amount_on(one.benefit, day) or Decimal(0)
        if one.granted and len(granted) == 1 and total is not None:
            amount = total
        listed.append(
            {
                "key": one.benefit.key,
                "title": one.benefit.title.nl,
                "granted": one.granted,
                "amount": str(amount if one.granted else Decimal(0)),
            }
        )
    return listed


def _departs(weighed: Sequence[_Weighed], stated: Outcome, outcome: DecisionStatus) -> bool:
    """Whether a person wants what the rules would not."""
    if any(one.by_rule is not None and one.by_rule is not one.granted for one in weighed):
        return True
    against = {Outcome.MET: DecisionStatus.REFUSED, Outcome.NOT_MET: DecisionStatus.GRANTED}
    return not weighed and against.get(stated) is outcome


# --- in words ---------------------------------------------------------------------------------


def _in_words(
    work: Work,
    case: Case,
    definition: Definition,
    outcome: DecisionStatus,
    weighed: Sequence[_Weighed],
    approval: Sequence[Verdict],
) -> Proposal:
    """The motivation that the definition gives, in Dutch, the language of the act."""
    granted = [one.benefit for one in weighed if one.granted]
    refused = [one.benefit for one in weighed if not one.granted]
    against = [one for one in approval if one.outcome is Outcome.NOT_MET]
    basis = list(definition.legal_basis)
    if outcome is DecisionStatus.REFUSED and against:
        legal, facts = [one.legal for one in against], [one.fact for one in against]
        reasons, rules = [one.message for one in against], [one.rule_key for one in against]
    elif weighed:
        legal = [*basis, *(one.legal for one in (*granted, *refused))]
        taken = {one.benefit.key for one in weighed if one.taken}
        facts = [one.granted_fact for one in granted]
        facts += [_TAKEN_FACT if one.key in taken else one.fact for one in refused]
        reasons = [_TAKEN if one.key in taken else one.message for one in refused]
        rules = [] if taken else [one.key for one in refused]
    else:
        rows = definition.rules.approval
        refuses = outcome is DecisionStatus.REFUSED
        legal = [] if refuses else [rule.legal for rule in rows] or basis
        facts = [] if refuses else [rule.fact for rule in rows] or [Text(nl="De aanvraag is ontvankelijk.")]
        reasons, rules = [], []
    known = values(work, case, definition)
    return Proposal(outcome, None, [], _said(legal, known), _said(facts, known), _said(reasons, known), rules)


def values(work: Work, case: Case, definition: Definition) -> dict[str, wording.Value]:
    """What the words of an act can name: nothing that tells who it is about."""
    return {
        **wording.own_values(definition, work.settings.municipality, "nl"),
        "reference": case.reference,
        "submitted_on": case.submitted_at,
    }


def _said(texts: Iterable[Text], known: wording.Values) -> list[str]:
    return list(dict.fromkeys(wording.line(text, "nl", known) or text.nl for text in texts))


def _motivated(proposal: Proposal, wish: Wish, *, departs: bool) -> Proposal:
    """With the handler's own words; every act is motivated in law and in fact (wet van 29 juli 1991)."""
    own_legal, own_fact = (bool(one.strip()) for one in (wish.legal, wish.fact))
    legal = [cases.said(wish.legal, "motivationLegal")] if own_legal else proposal.legal
    facts = [cases.said(wish.fact, "motivationFactual")] if own_fact else proposal.facts
    if departs and not own_fact:  # the definition's words argue for the other side
        raise Refused(ErrorCode.REQUIRED, path=["input", "motivationFactual"])
    if proposal.outcome is not DecisionStatus.GRANTED:
        for lines, name in ((legal, "motivationLegal"), (facts, "motivationFactual")):
            if not any(one.strip() for one in lines):
                raise Refused(ErrorCode.REQUIRED, path=["input", name])
    own = own_legal or own_fact or bool(wish.message.strip())
    reasons = [cases.said(wish.message, "message")] if wish.message.strip() else proposal.reasons
    if own_fact and not wish.message.strip() and proposal.outcome is not DecisionStatus.GRANTED:
        reasons = facts
    rules = [] if own else proposal.rules
    return replace(proposal, legal=legal, facts=facts, reasons=reasons, rules=rules)


def _check(definition: Definition, wish: Wish) -> None:
    if wish.outcome is not None and wish.outcome not in OUTCOMES:
        raise invalid("outcome", "one of GRANTED, PARTLY_GRANTED, REFUSED")
    if wish.outcome is DecisionStatus.PARTLY_GRANTED and not definition.benefits:
        raise invalid("outcome", "nothing is granted in part here: grant it on conditions")
    known = {benefit.key for benefit in definition.benefits}
    if unknown := sorted(set(wish.benefits) - known):
        raise invalid("benefits", f"the procedure has no {', '.join(unknown)}")
    if wish.amount is not None:
        if not 0 < wish.amount <= LARGEST_AMOUNT or wish.amount != wish.amount.quantize(Decimal("0.01")):
            raise invalid("amount", "more than nothing, in whole cents")
        if wish.outcome is DecisionStatus.REFUSED:
            raise invalid("amount", "what is refused has no amount")
    if wish.conditions.strip():
        cases.said(wish.conditions, "conditions")


def invalid(name: str, reason: str) -> Refused:
    """What is said of the input `name` that can not be."""
    return Refused(ErrorCode.VALIDATION, path=["input", name], reason=reason)
