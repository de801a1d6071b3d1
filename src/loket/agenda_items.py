"""What is put before a body: the text of an agenda item, over one case or many (ontwerpbesluit)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import col

from loket import paper, validity, wording
from loket.anonymity import Somebody
from loket.definition import Definition, Text
from loket.lifecycle import AdviceStatus, DecisionStatus
from loket.proposals import GRANTING, invalid
from loket.records import Advice, AgendaItem, Case, Decision, Person
from loket.settings import Municipality
from loket.work import Work

_ADVICE = {
    AdviceStatus.POSITIVE: "gunstig",
    AdviceStatus.NEGATIVE: "ongunstig",
    AdviceStatus.CONDITIONAL: "gunstig, onder voorwaarden",
    AdviceStatus.NO_REACTION: "geen advies binnen de termijn",
}
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
        raise invalid(field, f"{kind} {piece}: {everybody}") from fault
    except ValueError as fault:
        raise invalid("motivationFactual", str(fault)) from fault


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
