"""What is proposed on a case, by rule or by its handler, and in which words (voorstel van besluit)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import col

from loket import cases, paper, validity, wording
from loket.anonymity import Somebody
from loket.definition import Benefit, Definition, Text
from loket.errors import ErrorCode, Refused
from loket.lifecycle import AdviceStatus, DecisionStatus
from loket.records import Advice, AgendaItem, Case, Decision, Json, Person
from loket.rules import Facts, Outcome, Ruling, Verdict, conclude, evaluate_all, weigh
from loket.settings import Municipality
from loket.terms import BRUSSELS
from loket.work import Work

GRANTING = frozenset({DecisionStatus.GRANTED, DecisionStatus.PARTLY_GRANTED})
OUTCOMES = GRANTING | {DecisionStatus.REFUSED}
LARGEST_AMOUNT = Decimal(1_000_000)
"""EUR; above it somebody typed wrong."""
_ADVICE = {
    AdviceStatus.POSITIVE: "gunstig",
    AdviceStatus.NEGATIVE: "ongunstig",
    AdviceStatus.CONDITIONAL: "gunstig, onder voorwaarden",
    AdviceStatus.NO_REACTION: "geen advies binnen de termijn",
}
_TAKEN = Text(
    nl="Deze toelage is dit jaar al gevraagd of toegekend, en kan maar één keer per jaar.",
    en="This allowance was asked or granted this year already, and can be had once a year.",
)
_TAKEN_FACT = Text(nl="De toelage is voor dit jaar al gevraagd of toegekend in een ander dossier.")


_NAMED = {
    "NAME": Text(nl="de naam", en="the name"),
    "FAMILY_NAME": Text(nl="de familienaam", en="the family name"),
    "ADDRESS": Text(nl="het adres", en="the address"),
    "EMAIL": Text(nl="het e-mailadres", en="the e-mail address"),
    "PHONE": Text(nl="het telefoonnummer", en="the telephone number"),
    "NATIONAL_NUMBER": Text(nl="een rijksregisternummer", en="a national number"),
    "ACCOUNT": Text(nl="een rekeningnummer", en="an account number"),
}
_EVERYBODY_READS = Text(
    nl="schrijf het zonder, want dit komt op een agenda die iedereen kan lezen",
    en="put it without, since this goes on an agenda that everybody can read",
)


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
    wish = wish or Wish()
    _check(work.definition(case), wish)
    definition = work.definition(case)
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
                raise _invalid("benefits", f"{benefit.key} was not asked")
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
        raise _invalid("outcome", f"{wish.outcome} does not go with the benefits: they make it {outcome}")
    return wish.outcome or outcome


def _amount(outcome: DecisionStatus, granted: Sequence[_Weighed], day: date, wish: Wish) -> Decimal | None:
    if outcome is DecisionStatus.REFUSED:
        return None
    prices = [price for one in granted if (price := amount_on(one.benefit, day)) is not None]
    if wish.amount is not None:
        return wish.amount
    if granted and len(prices) < len(granted):
        raise _invalid("amount", f"the definition has no amount for {day}")
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
        raise _invalid("outcome", "one of GRANTED, PARTLY_GRANTED, REFUSED")
    if wish.outcome is DecisionStatus.PARTLY_GRANTED and not definition.benefits:
        raise _invalid("outcome", "nothing is granted in part here: grant it on conditions")
    known = {benefit.key for benefit in definition.benefits}
    if unknown := sorted(set(wish.benefits) - known):
        raise _invalid("benefits", f"the procedure has no {', '.join(unknown)}")
    if wish.amount is not None:
        if not 0 < wish.amount <= LARGEST_AMOUNT or wish.amount != wish.amount.quantize(Decimal("0.01")):
            raise _invalid("amount", "more than nothing, in whole cents")
        if wish.outcome is DecisionStatus.REFUSED:
            raise _invalid("amount", "what is refused has no amount")
    if wish.conditions.strip():
        cases.said(wish.conditions, "conditions")


def _invalid(name: str, reason: str) -> Refused:
    return Refused(ErrorCode.VALIDATION, path=["input", name], reason=reason)


# --- what is put before a body ----------------------------------------------------------------


@dataclass(frozen=True)
class Proposed:
    """A case with what is proposed on it, and what its advisers think."""

    case: Case
    person: Person
    decision: Decision
    advices: Sequence[Advice] = ()
    period: validity.Period | None = None
    """For how long it would hold, where the applicant says so."""


def item_title(definition: Definition, count: int) -> str:
    """Of the agenda item: agendas are published, so it names no person."""
    agenda = definition.decision.agenda if definition.decision else None
    template = agenda.item_title.nl if agenda else "{procedure} ({count})"
    return template.replace("{procedure}", definition.title.nl).replace("{count}", str(count))


def draft(
    municipality: Municipality, definition: Definition, drafted_on: date, listed: Sequence[Proposed]
) -> paper.DecisionDraft:
    """The text of one agenda item over one case or many; whose cases they are stands in its annex alone."""
    single = listed[0] if len(listed) == 1 else None
    agenda = definition.decision.agenda if definition.decision else None
    return paper.DecisionDraft(
        municipality=municipality,
        body=definition.deciding_body.nl,
        title=item_title(definition, len(listed)),
        department=definition.department.nl,
        drafted_on=drafted_on,
        legal_grounds=_grounds(listed),
        factual_grounds=tuple(single.decision.motivation_factual.splitlines())
        if single
        else _together(listed),
        advices=_advices(definition, single.advices) if single else (),
        articles=_articles(municipality, definition, listed),
        closed=agenda.closed if agenda else True,
        cases=tuple(_line(definition, one, alone=single is not None) for one in listed),
    )


def check_words(work: Work, proposed: Proposed) -> None:
    """Refuse words that may not leave the house with an agenda.

    Raises:
        Refused: VALIDATION, it names the applicant, or holds anybody's national or account number.
    """
    definition = work.definition(proposed.case)
    try:
        paper.decision_html(draft(work.settings.municipality, definition, work.today, [proposed]))
    except paper.NamesSomebody as fault:
        field = "motivationLegal" if fault.field == "legal_grounds" else "motivationFactual"
        kind, piece = _NAMED[fault.named.kind].get(work.actor.language), fault.named.piece
        everybody = _EVERYBODY_READS.get(work.actor.language)
        raise _invalid(field, f"{kind} {piece}: {everybody}") from fault
    except ValueError as fault:
        raise _invalid("motivationFactual", str(fault)) from fault


async def listed_on(work: Work, item: AgendaItem) -> list[Proposed]:
    """The cases of an agenda item that still are on it, by reference."""
    found = await work.session.execute(
        select(Decision, Case, Person)
        .join(Case, col(Case.id) == col(Decision.case_id))
        .join(Person, col(Person.id) == col(Case.person_id))
        .where(col(Decision.agenda_item_id) == item.id, col(Decision.status) != DecisionStatus.WITHDRAWN)
        .order_by(col(Case.reference))
    )
    listed = [
        Proposed(case, person, decision, period=await validity.expected(work, case, decided=False))
        for decision, case, person in found.all()
    ]
    if len(listed) == 1:  # the text of a list names no advice
        listed = [replace(listed[0], advices=await _advices_of(work, listed[0].case))]
    return listed


async def _advices_of(work: Work, case: Case) -> list[Advice]:
    found = await work.session.scalars(
        select(Advice)
        .where(
            col(Advice.case_id) == case.id,
            col(Advice.round) == case.round,
            col(Advice.status).in_(list(_ADVICE)),
        )
        .order_by(col(Advice.id))
    )
    return list(found)


def _grounds(listed: Sequence[Proposed]) -> tuple[str, ...]:
    lines = [line for one in listed for line in one.decision.motivation_legal.splitlines()]
    return tuple(dict.fromkeys(line for line in lines if line.strip()))


def _together(listed: Sequence[Proposed]) -> tuple[str, ...]:
    return (
        f"De {len(listed)} aanvragen in de besloten bijlage zijn onderzocht. De feiten en de argumentatie "
        "per dossier staan in die bijlage.",
    )


def _advices(definition: Definition, advices: Sequence[Advice]) -> tuple[paper.AdviceSummary, ...]:
    """Who advised what; in one word, since an adviser's own words may name people."""
    told = []
    for advice in advices:
        adviser = definition.adviser(advice.adviser)
        name = adviser.title.nl if adviser else advice.adviser
        told.append(paper.AdviceSummary(name, _ADVICE[advice.status]))
    return tuple(told)


def _line(definition: Definition, one: Proposed, *, alone: bool) -> paper.AnnexCase:
    decision = one.decision
    said = [] if alone else [decision.motivation_factual]
    if one.period is not None and decision.proposal in GRANTING:
        said.append(validity.sentence(one.period))
    if decision.conditions:
        said.append(f"Voorwaarden: {decision.conditions}")
    return paper.AnnexCase(
        reference=one.case.reference,
        applicant=Somebody.of(one.person),
        amount_eur=(decision.amount or Decimal(0)) if decision.amount or definition.benefits else None,
        result=paper.Result(decision.proposal or DecisionStatus.REFUSED),
        motivation="\n".join(said),
    )


def _articles(
    municipality: Municipality, definition: Definition, listed: Sequence[Proposed]
) -> tuple[str, ...]:
    rules = definition.decision
    granted = [one for one in listed if one.decision.proposal in GRANTING]
    refused = [one for one in listed if one not in granted]
    groups = (
        (granted, rules.articles_granted if rules else (), "toegekend"),
        (refused, rules.articles_refused if rules else (), "geweigerd"),
    )
    articles: list[str] = []
    for group, texts, word in groups:
        if not group:
            continue
        named = _named(municipality, definition, group)
        lines = [wording.line(text, "nl", named) for text in texts]
        articles += [line for line in lines if line] or [f"Dossier {_references(group)} wordt {word}."]
    return tuple(dict.fromkeys(articles))


def _named(
    municipality: Municipality, definition: Definition, group: Sequence[Proposed]
) -> dict[str, wording.Value]:
    total = sum((one.decision.amount or Decimal(0) for one in group), Decimal(0))
    titles = [one["title"] for case in group for one in case.decision.benefits if one["granted"]]
    period = group[0].period if len(group) == 1 else None
    return {
        **wording.own_values(definition, municipality, "nl"),
        "applicant": "de aanvrager" if len(group) == 1 else "de aanvragers in de besloten bijlage",
        "iban": "de opgegeven rekening" if len(group) == 1 else "de opgegeven rekeningen",
        "reference": _references(group),
        "amount": total or None,
        "benefits": "; ".join(dict.fromkeys(titles)) or definition.title.nl,
        "valid_from": period.first if period else None,
        "valid_until": period.last if period else None,
    }


def _references(group: Sequence[Proposed]) -> str:
    return ", ".join(one.case.reference for one in group)
