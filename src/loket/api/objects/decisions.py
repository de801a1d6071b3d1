"""What was decided, and the agenda of the body that decides."""

from datetime import date, datetime
from decimal import Decimal

from loket import records
from loket.api.naming import described, input_type, output
from loket.api.objects.conditions import among, equal
from loket.api.objects.documents import Document
from loket.api.objects.letters import Letter
from loket.api.objects.links import ItsCase
from loket.api.objects.people import StaffMember
from loket.api.reads import (
    Node,
    column,
    condition,
    entity,
    expression,
    listed,
    newest,
    one,
    orders,
    part,
    parts,
)
from loket.api.scalars import Money
from loket.api.visibility import of_agenda, of_case
from loket.definition import DecidingBody
from loket.lifecycle import DecisionStatus

IS_TOLD = "({viewer.kind}::text <> 'CITIZEN' OR {t}.decided_at IS NOT NULL)"
"""A citizen hears what is decided, not what is proposed."""


def _told(name: str) -> str:
    return f"CASE WHEN {IS_TOLD} THEN {{t}}.{name} ELSE '' END"


@output
class DecidedBenefit:
    """A sum that was asked, and what became of it."""

    key: str = described("Its key in the definition.")
    title: str = described("Its title, in Dutch.")
    granted: bool = described("Whether it is granted.")
    amount: Decimal = described("How much, in EUR.")


@output
class Signatory:
    """Who signed a decision."""

    name: str = described("The name.")
    function: str = described("As what.")
    signed_on: date | None = described("When.")


@entity(records.AgendaItem, policy=of_agenda)
class AgendaItem(Node):
    """One item on the agenda of a body, with the decisions on one case or many (agendapunt)."""

    body: DecidingBody = column("Which body.")
    external_identifier: str = column("By which the minutes system finds it.")
    item_uid: str | None = column("The minutes system's own name for it.")
    title: str = column("As it is published: without names.")
    meeting_on: date | None = column("The day of the meeting.")
    state: str = column("As the minutes system names it.")
    created_at: datetime = column("When it was sent.")
    heard_at: datetime | None = column("When something was last heard of it.")
    ended_at: datetime | None = column("When nothing more was to be heard of it.")
    document: Document | None = one("The draft, with its closed annex.", on="document_id")
    decisions: list["Decision"] = listed(
        "The decisions on it; the first hundred.",
        where="{t}.agenda_item_id = {parent}.id",
        order="{t}.id",
    )


@entity(records.Decision, policy=of_case)
class Decision(Node):
    """What was decided (besluit)."""

    status: DecisionStatus = column("What.")
    version: int = column("Raised by every change.")
    round: int = column("Of which round of the case.")
    by_rule: bool = column("Whether a rule decided.")
    body: DecidingBody | None = column("The body that decides; null where a handler or a rule does.")
    proposal: DecisionStatus | None = column(
        "What is put before the body.", allowed=lambda scope: scope.is_staff
    )
    amount: Money | None = part(
        "What is granted; for staff also what is proposed.",
        {"amount": "{t}.amount", "currency": "'EUR'"},
        unless=f"{{t}}.amount IS NULL OR NOT {IS_TOLD}",
    )
    benefits: list[DecidedBenefit] = parts(
        "What was asked, and whether it is granted.",
        f"CASE WHEN {IS_TOLD} THEN {{t}}.benefits ELSE '[]'::jsonb END",
        {
            "key": "{t} ->> 'key'",
            "title": "{t} ->> 'title'",
            "granted": "({t} ->> 'granted')::boolean",
            "amount": "({t} ->> 'amount')::numeric",
        },
    )
    conditions: str = expression("On which conditions.", _told("conditions"))
    motivation_legal: str = expression("Why, in law.", _told("motivation_legal"))
    motivation_factual: str = expression("Why, in fact.", _told("motivation_factual"))
    text: str = expression("What the body decided in its own words.", _told("text"))
    meeting_on: date | None = expression(
        "The day of the meeting that decides.",
        "(SELECT a.meeting_on FROM agendaitem a WHERE a.id = {t}.agenda_item_id)",
    )
    decided_on: date | None = expression(
        "The day on which it was decided.", "CASE WHEN {t}.decided_at IS NOT NULL THEN {t}.decided_on END"
    )
    decided_at: datetime | None = column("When Loket knew.")
    signatories: list[Signatory] = parts(
        "Who signed.",
        f"CASE WHEN {IS_TOLD} THEN {{t}}.signatories ELSE '[]'::jsonb END",
        {
            "name": "{t} ->> 'name'",
            "function": "{t} ->> 'function'",
            "signed_on": "({t} ->> 'signed_on')::date",
        },
    )
    document_sha256: str = expression(
        "Of the signed decision; empty until it is there.", _told("document_sha256")
    )
    withdrawn_at: datetime | None = column("When it was taken back.")
    withdrawn_reason: str = expression("Why it was taken back.", _told("withdrawn_reason"))
    decided_by: StaffMember | None = one("Who, where a person did.", on="staff_id")
    document: Document | None = one("The signed decision, for staff.", on="document_id")
    agenda_item: AgendaItem | None = one("Where it stands on the agenda, for staff.", on="agenda_item_id")
    letter: Letter | None = one(
        "The letter with it; the last one.",
        where="{t}.decision_id = {parent}.id",
        order="{t}.created_at DESC, {t}.id",
        with_parent=True,
    )
    case: ItsCase = one("On which case.", on="case_id", with_parent=True)


@input_type
class DecisionFilter:
    """Which decisions."""

    status: list[DecisionStatus] | None = among("In one of these.", "status")
    body: DecidingBody | None = equal("Of this body.", "body")
    on_agenda: bool | None = condition(
        "That were sent to the minutes system, or not.", "({t}.agenda_item_id IS NOT NULL) = {value}"
    )
    meeting_on: date | None = condition(
        "Of the meeting of this day.",
        "{t}.agenda_item_id IN (SELECT a.id FROM agendaitem a WHERE a.meeting_on = {value})",
    )
    procedure: str | None = condition(
        "Of this procedure.", '{t}.case_id IN (SELECT c.id FROM "case" c WHERE c.procedure_key = {value})'
    )


DECISION_ORDER = orders(
    "DecisionOrder", "In which order decisions come.", NEWEST=(newest("id"), "Last first.")
)


@output
class Meeting:
    """A meeting of a body that takes items still."""

    uid: str = described("The minutes system's own name for it.")
    title: str = described("Its title.")
    starts_at: datetime = described("When it begins.")
    accepts_until: datetime | None = described("Until when items can come, where it says.")
