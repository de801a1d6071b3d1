"""The text that a municipal body decides on: for the minutes system as HTML, for people as PDF.

It speaks of cases, never of people: whose cases they are stands in the closed annex alone. The text is
Dutch, the language of the acts of a Flemish municipality.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from html import escape

from loket.anonymity import Named, Somebody, named_in
from loket.notation import amount, clean
from loket.paper.sheet import Addressee, compiled, fit, sheet, written_day
from loket.settings import Municipality

LANGUAGE = "nl"


class Result(StrEnum):
    """What is decided on one case."""

    GRANTED = "GRANTED"
    PARTLY_GRANTED = "PARTLY_GRANTED"
    REFUSED = "REFUSED"


RESULTS = {
    Result.GRANTED: "toegekend",
    Result.PARTLY_GRANTED: "gedeeltelijk toegekend",
    Result.REFUSED: "geweigerd",
}


class NamesSomebody(ValueError):
    """What everybody reads names a person. `field`: of the draft; `of`: which case's applicant."""

    def __init__(self, field: str, named: Named, of: str) -> None:
        self.field, self.named = field, named
        super().__init__(f"{field} names somebody outside of the closed annex of {of}: {named}")


@dataclass(frozen=True)
class AdviceSummary:
    """Who advised (a service, not a person), and what came of it."""

    adviser: str
    opinion: str


@dataclass(frozen=True)
class AnnexCase:
    """One case of the list. `amount_eur` is what it is granted: 0 where it is refused, None where no money is
    asked.

    `motivation` is why, where that differs from case to case.
    """

    reference: str
    applicant: Somebody
    amount_eur: Decimal | None
    result: Result
    motivation: str = ""


@dataclass(frozen=True)
class DecisionDraft:
    """What is put before a body. `closed`: dealt with behind closed doors and never published.

    A blank line in a ground, an advice or an article begins a new paragraph; articles are numbered here.
    """

    municipality: Municipality
    body: str
    title: str
    department: str
    drafted_on: date
    legal_grounds: tuple[str, ...]
    factual_grounds: tuple[str, ...]
    advices: tuple[AdviceSummary, ...]
    articles: tuple[str, ...]
    closed: bool
    cases: tuple[AnnexCase, ...] = ()


def decision_html(draft: DecisionDraft) -> tuple[str, str]:
    """Motivation and decision, as PloneMeeting's `motivation` and `decision` take them (XHTML fragments).

    Raises:
        ValueError: grounds or articles are missing, or a person is named outside of the annex.
    """
    _check(draft)
    sections = ((name, _points(texts)) for name, texts in _sections(draft))
    motivation = "".join(f"<p><strong>{escape(name)}</strong></p>{html}" for name, html in sections)
    articles = "".join(
        f"<p><strong>{name}</strong></p>{_paragraphs(text)}" for name, text in _articles(draft)
    )
    return motivation, articles


async def draft_pdf(draft: DecisionDraft) -> bytes:
    """The draft as its readers in the house get it, without names.

    Raises:
        ValueError: grounds or articles are missing, or a person is named outside of the annex.
    """
    _check(draft)
    return await compiled("decision.typ", draft.drafted_on, _draft(draft))


async def annex_pdf(draft: DecisionDraft) -> bytes:
    """The closed annex: whose cases they are, marked as closed on every page.

    Raises:
        ValueError: there are no cases, one stands in it twice, or an amount does not go with its result.
    """
    _check_cases(draft.cases)
    return await compiled("annex.typ", draft.drafted_on, _annex(draft))


# --- what may be put before a body -------------------------------------------------------------


def _check(draft: DecisionDraft) -> None:
    said = {
        "a title": (draft.title,),
        "grounds in law": draft.legal_grounds,
        "grounds in fact": draft.factual_grounds,
        "articles": draft.articles,
    }
    missing = [name for name, texts in said.items() if not any(one.strip() for one in texts)]
    if missing:
        raise ValueError(f"a decision without {', '.join(missing)}")
    if draft.cases:
        _check_cases(draft.cases)
    _check_names(draft)


def _check_names(draft: DecisionDraft) -> None:
    """The text leaves the house with the agenda, so a name in it cannot be taken back."""
    hall = draft.municipality
    ours = (
        *(hall.name, hall.street, hall.city, hall.iban, hall.email),
        *(draft.body, draft.department),
    )
    said = {
        "title": (draft.title,),
        "legal_grounds": draft.legal_grounds,
        "factual_grounds": draft.factual_grounds,
        "advices": [f"{one.adviser}: {one.opinion}" for one in draft.advices],
        "articles": draft.articles,
    }
    concerned = [(one.reference, one.applicant) for one in draft.cases] or [("nobody", Somebody())]
    for field, texts in said.items():
        for reference, somebody in concerned:
            if (named := named_in("\n".join(texts), somebody, ours=ours)) is not None:
                raise NamesSomebody(field, named, reference)


def _check_cases(cases: Sequence[AnnexCase]) -> None:
    if not cases:
        raise ValueError("an annex without cases")
    for reference, count in Counter(case.reference for case in cases).items():
        if count > 1:
            raise ValueError(f"{reference} stands in the annex {count} times")
    for case in cases:
        if case.amount_eur is None:
            continue
        if (case.amount_eur > 0) is (case.result is Result.REFUSED):
            raise ValueError(f"EUR {case.amount_eur} for {case.reference} does not go with {case.result}")


# --- as HTML -----------------------------------------------------------------------------------


def _points(texts: Sequence[str]) -> str:
    """One is a paragraph, several are a list."""
    if len(texts) == 1:
        return _paragraphs(texts[0])
    return "<ul>" + "".join(f"<li>{_lines(one)}</li>" for one in texts) + "</ul>"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_lines(one)}</p>" for one in _parts(text))


def _lines(text: str) -> str:
    return "<br />".join(escape(one.strip()) for one in clean(text).splitlines() if one.strip())


# --- as PDF ------------------------------------------------------------------------------------


def _draft(draft: DecisionDraft) -> dict[str, object]:
    return {
        **_head(draft),
        "heading": fit(draft.title),
        "sections": [
            {"name": name, "points": [[fit(part) for part in _parts(text)] for text in texts]}
            for name, texts in _sections(draft)
        ],
        "articles": [
            {"name": name, "parts": [fit(part) for part in _parts(text)]} for name, text in _articles(draft)
        ],
        "annex": _told(draft.cases) if draft.cases else "",
    }


def _annex(draft: DecisionDraft) -> dict[str, object]:
    return {
        **_head(draft),
        "heading": fit(draft.title),
        "cases": [
            {
                "number": str(number),
                "reference": fit(case.reference),
                "name": fit(case.applicant.name),
                "motivation": fit(case.motivation),
                "result": RESULTS[case.result].capitalize(),
                "amount": "" if case.amount_eur is None else amount(case.amount_eur, LANGUAGE),
            }
            for number, case in enumerate(draft.cases, start=1)
        ],
        "total": _total(draft.cases),
        "counted": _counted(draft.cases),
    }


def _head(draft: DecisionDraft) -> dict[str, object]:
    nobody = Addressee("", ())
    return {
        **sheet(draft.municipality, nobody, draft.drafted_on, draft.department, LANGUAGE),
        "closed": draft.closed,
        "facts": [
            ("Bestuursorgaan", fit(draft.body)),
            ("Zitting", "Besloten" if draft.closed else "Openbaar"),
            ("Voorbereid door", fit(draft.department)),
            ("Opgesteld op", written_day(draft.drafted_on, LANGUAGE)),
        ],
    }


def _told(cases: Sequence[AnnexCase]) -> str:
    number = "1 dossier" if len(cases) == 1 else f"{len(cases)} dossiers"
    total = _total(cases)
    together = f", samen {total}" if total else ""
    return (
        f"Besloten bijlage: lijst van {number} ({_counted(cases)}){together}. "
        "De bijlage wordt niet bekendgemaakt."
    )


def _counted(cases: Sequence[AnnexCase]) -> str:
    """2 toegekend, 1 geweigerd."""
    counts = Counter(case.result for case in cases)
    return ", ".join(f"{counts[result]} {word}" for result, word in RESULTS.items() if counts[result])


def _total(cases: Iterable[AnnexCase]) -> str:
    """Empty where no money is decided on."""
    granted = [case.amount_eur for case in cases if case.amount_eur is not None]
    return amount(sum(granted, Decimal(0)), LANGUAGE) if granted else ""


# --- both --------------------------------------------------------------------------------------


def _sections(draft: DecisionDraft) -> list[tuple[str, list[str]]]:
    said = [
        ("Juridische grond", list(draft.legal_grounds)),
        ("Feiten, context en argumentatie", list(draft.factual_grounds)),
        ("Adviezen", [f"{one.adviser}: {one.opinion}" for one in draft.advices]),
    ]
    return [(name, kept) for name, texts in said if (kept := [one for one in texts if one.strip()])]


def _articles(draft: DecisionDraft) -> Iterator[tuple[str, str]]:
    """Artikel 1, Artikel 2 …; the only one is called Enig artikel."""
    kept = [one for one in draft.articles if one.strip()]
    for number, text in enumerate(kept, start=1):
        yield ("Enig artikel" if len(kept) == 1 else f"Artikel {number}"), text


def _parts(text: str) -> list[str]:
    return [one.strip() for one in re.split(r"\n\s*\n", text) if one.strip()]
