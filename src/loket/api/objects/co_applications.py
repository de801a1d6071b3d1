"""The question to a co-applicant: what they see of it, and what the applicant and staff do."""

from datetime import date, datetime
from typing import cast

from strawberry.scalars import JSON

from loket import records
from loket.api.context import Caller
from loket.api.procedures import Row, definition_of
from loket.api.reads import Node, column, computed, entity, expression
from loket.api.visibility import of_person
from loket.definition import Definition
from loket.lifecycle import CoApplicationStatus
from loket.records import Json
from loket.sources import read, write

_OF_CASE = '(SELECT c.{column} FROM "case" c WHERE c.id = {t}.case_id)'
_REFERENCE, _KEY, _VERSION, _APPLICANT_ID = (
    _OF_CASE.replace("{column}", one)
    for one in ("reference", "procedure_key", "procedure_version", "person_id")
)
_ANSWERS = (
    '(SELECT a.answers FROM application a JOIN "case" c ON c.application_id = a.id WHERE c.id = {t}.case_id)'
)


@entity(records.CoApplication, policy=of_person())
class CoApplication(Node):
    """Whether somebody agrees with what another applied for (medeaanvraag).

    Who is asked sees which procedure it is, who applied and what was said of them; not the case.
    """

    status: CoApplicationStatus = column("Where it stands; an answer is awaited while it is ASKED.")
    version: int = column("Raised by every change.")
    asked_at: datetime = column("When it was asked.")
    answer_by: date | None = expression(
        "Until when an answer is awaited.",
        "(SELECT (e.data ->> 'answer_by')::date FROM event e WHERE e.case_id = {t}.case_id"
        " AND e.type = 'CO_APPLICANT_ASKED' AND e.data ->> 'co_application' = {t}.id::text LIMIT 1)",
    )
    answered_at: datetime | None = column("When it was answered.")
    remark: str = column("Why they do not agree.")
    reference: str = expression("Of the case, to quote.", _REFERENCE)
    applicant: str = expression(
        "Who applied.",
        "(SELECT btrim(p.given_name || ' ' || p.family_name) FROM person p"
        ' JOIN "case" c ON c.person_id = p.id WHERE c.id = {t}.case_id)',
    )

    @computed(procedure_key=_KEY, procedure_version=_VERSION)
    def title(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """What was applied for: the title of the procedure, in your language."""
        return definition_of(row, viewer).title.get(viewer.language)

    @computed(procedure_key=_KEY, procedure_version=_VERSION)
    def description(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """What it is, in your language."""
        return definition_of(row, viewer).description.get(viewer.language)

    @computed(procedure_key=_KEY, procedure_version=_VERSION, answers=_ANSWERS)
    def answers(row: Row, viewer: Caller) -> JSON:  # noqa: N805  # no self
        """What was said of the co-applicant: the part of the form with their national number, masked."""
        definition = definition_of(row, viewer)
        given = viewer.answers_shown(definition, row["answers"] or {}, draft=False)
        return cast("JSON", _about(definition, given))

    @computed(
        "status",
        "person_id",
        name="(SELECT btrim(p.given_name || ' ' || p.family_name) FROM person p WHERE p.id = {t}.person_id)",
    )
    def name(row: Row, viewer: Caller) -> str | None:  # noqa: N805  # no self
        """Who is asked; for the applicant once they confirmed: a number alone gives nobody's name away."""
        known = viewer.scope.is_staff or str(viewer.person_id) == row["person_id"]
        return row["name"] or None if known or row["status"] == CoApplicationStatus.CONFIRMED else None


def _about(definition: Definition, given: Json) -> Json:
    """The group that holds the number; of a number that stands by itself, it alone."""
    assert definition.co_applicant is not None
    steps = definition.co_applicant.number_field.strip("/").split("/")
    place = steps[:-1] or steps
    said = read(given, place)
    return {} if said is None else write({}, place, said)
