"""What rules may read of an application's row: what was filled in, what sources said, which files came."""

from datetime import UTC, datetime

from loket import co_applicants, enclosures
from loket.api.context import Caller
from loket.api.naming import described, output
from loket.api.procedures import Row
from loket.definition import Definition
from loket.facts import Draft, of_draft
from loket.forms import FieldFault
from loket.rules import Facts

OWN_NUMBERS = """
    (SELECT json_build_array(encode(p.insz_index, 'hex'), encode(p.former_insz_index, 'hex'))
       FROM person p WHERE p.id = {t}.person_id)"""
"""Keyed indexes of the applicant's own national numbers."""


@output
class RequiredDocument:
    """A paper without which the application is not taken (verplicht bewijsstuk)."""

    key: str = described("Its key, for the document.")
    title: str = described("Its title, in your language.")
    description: str | None = described("When it is needed, and what must stand in it.")
    attached: bool = described("Whether it is there.")


def facts_of(definition: Definition, row: Row, viewer: Caller) -> Facts:
    """Of a row that has `answers`, `cart`, `facts`, `channel` and `sent_in`."""
    draft = Draft(row["answers"], row["cart"], row["facts"], row["channel"], row["sent_in"] or {})
    return of_draft(definition, draft, viewer.loket.settings.municipality, datetime.now(UTC))


def required_in(definition: Definition, facts: Facts, language: str) -> list[RequiredDocument]:
    return [
        RequiredDocument(
            key=kind.key,
            title=kind.title.get(language),
            description=kind.description.get(language) if kind.description else None,
            attached=bool(facts.documents.get(kind.key)),
        )
        for kind in enclosures.required(definition, facts)
    ]


def others_in(definition: Definition, facts: Facts, row: Row, viewer: Caller) -> list[FieldFault]:
    """What is wrong with whom the applicant named, of a row that has also `own_numbers`."""

    def is_own(number: str) -> bool:
        return viewer.loket.vault.index("insz", number).hex() in (row["own_numbers"] or ())

    answers = viewer.answers_of(definition, row["answers"])
    return co_applicants.faults(definition, facts, answers, viewer.language, is_own)
