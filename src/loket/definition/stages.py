"""Who, what, how long: the settings of the stages."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from loket.definition.catalogue import Price
from loket.definition.shape import Days, Key, Shape, Text


class Contact(Shape):
    """Whom a citizen can ask. What is left out is the municipality's own."""

    name: str
    """Service or person."""
    phone: str | None = None
    """Telephone number."""
    email: str | None = None
    """E-mail address."""
    website: str | None = None
    """Web page."""


_APPEAL = {
    "nl": "U kunt {term} in beroep gaan bij {body}, {address}: {form}.",
    "en": "You can appeal to {body}, {address}, {term}: {form}.",
}


class Appeal(Shape):
    """How a decision can be fought; a notification without body, form and term does not make the term begin.

    Each part reads inside a sentence: `de Raad van State`, `met een aangetekende brief`, `binnen 60 dagen`.
    """

    body: Text
    """With whom."""
    address: Text
    """Where it is sent."""
    form: Text
    """How."""
    term: Text
    """Within how long, and from when."""
    remark: Text | None = None
    """What else is open: a complaint with the supervising authority."""

    def get(self, language: str) -> str:
        """In one go, as it stands under a refusal."""
        spoken = language if language in _APPEAL else "nl"
        parts = {name: getattr(self, name).get(spoken) for name in ("body", "address", "form", "term")}
        remark = f" {self.remark.get(spoken)}" if self.remark else ""
        return f"{_APPEAL[spoken].format_map(parts)}{remark}"


class Term(Shape):
    """Within how many days after submission there must be a decision."""

    days: Annotated[int, Field(gt=0, le=3650)]
    """So many days."""
    counting: Literal["calendar", "working"] = "calendar"
    """calendar: every day; working: not on Saturdays, Sundays and public holidays."""
    suspendable: bool = True
    """Whether the clock stops while information is asked (an OCMW's 30 days never stop)."""
    alarm_days: Days = 5
    """How many days before the end the handler is warned."""


class Drafts(Shape):
    """Applications that are not handed in yet."""

    keep_days: Annotated[int, Field(gt=0, le=3650)] = 30
    """After so many days without a change a draft expires."""


class Information(Shape):
    """When a handler asks the applicant for more."""

    answer_within_days: Annotated[int, Field(gt=0, le=365)] = 14
    """After so many days without an answer it is decided on what there is."""
    reminder_days: tuple[Days, ...] = ()
    """So many days after the question."""


class Screening(Shape):
    """Whether an application can be handled at all (ontvankelijkheid)."""

    by: Literal["rule", "rule_then_handler", "handler"] = "rule"
    """rule: the rules alone, only REFER goes to a handler; rule_then_handler: a handler confirms."""


class Assessment(Shape):
    """How an application is weighed on its merits (beoordeling), after it was found admissible."""

    by: Literal["rule", "handler"] = "handler"
    """rule: on to the decision as soon as checks and advice are in; handler: when a handler prepared it."""
    ask: tuple[Key, ...] = ()
    """Advisers who are asked at once, without a handler."""


class DecidingBody(StrEnum):
    """Who decides, other than a rule or a handler (bevoegd orgaan)."""

    COLLEGE = "COLLEGE"
    """College van burgemeester en schepenen."""
    COUNCIL = "COUNCIL"
    """Gemeenteraad."""
    VAST_BUREAU = "VAST_BUREAU"
    """Vast bureau (of the OCMW)."""
    RMW = "RMW"
    """Raad voor maatschappelijk welzijn."""
    BCSD = "BCSD"
    """Bijzonder comité voor de sociale dienst."""


class Agenda(Shape):
    """How a decision comes before its body, in the minutes system (notuleringspakket)."""

    proposing_group: str
    """The service that proposes, by its id in the minutes system."""
    category: str | None = None
    """Kind of item, by its id in the minutes system."""
    item_title: Text
    """May name {procedure} and {count}; never a person: agendas are published."""
    closed: bool = True
    """Behind closed doors: names and files only in a closed annex."""
    cut_off_days: Days = 3
    """So many days before a meeting an item must be there, where the minutes system says nothing of it."""
    successor_within_days: Days = 30
    """A postponed item that comes back on no agenda within so many days is a person's to look at."""


class Decision(Shape):
    """Who decides, and how it is told."""

    by: Literal["rule", "handler"] | DecidingBody
    """rule: the rules for approval (or the benefits) decide; handler: a person; else the body that does."""
    agenda: Agenda | None = None
    """Needed where a body decides."""
    articles_granted: tuple[Text, ...] = ()
    """The articles of the draft (ontwerpbesluit): may name {amount}, {reference}, {benefits}; also
    {valid_from} and {valid_until} where the answers say from when it holds, which are left out of a list of
    several cases. Never a person or an account: those stand in the closed annex alone."""
    articles_refused: tuple[Text, ...] = ()
    """The same where nothing is granted."""
    notify_within_days: Days = 8
    """After the decision the letter must be on its way within so many days."""
    legal_delivery: bool = False
    """Whether the decision letter goes out by eBox, or else as a registered letter."""

    @property
    def body(self) -> DecidingBody | None:
        return self.by if isinstance(self.by, DecidingBody) else None


class PayoutRules(Shape):
    """How a premium is paid out (uitbetaling)."""

    account_field: Annotated[str, Field(pattern=r"^(/[^/~]+)+$")]
    """Where in the answers the IBAN stands, as a JSON pointer."""
    visum: bool = False
    """Whether the financial director signs for the credit before it is paid (visum)."""
    within_days: Annotated[int, Field(gt=0, le=365)] = 30
    """After the decision; later a person is asked."""
    remittance: Text
    """What stands on the account statement; may name {reference} and {procedure}."""


Pointer = Annotated[str, Field(pattern=r"^(/[^/~]+)+$")]
"""Where something stands in the answers, as a JSON pointer."""


class Buyer(Shape):
    """Where in the answers an organisation stands that buys; left empty there, the applicant buys."""

    name: Pointer
    """Its name."""
    enterprise_number: Pointer
    """KBO number: a field of the format 'enterprise-number'."""
    address: Pointer | None = None
    """A group with street, number, box, postal_code and city; else the invoice goes to the applicant's."""


class Reminder(Shape):
    """An invoice that was not paid is asked for again (herinnering)."""

    after_days: Days
    """So many days after the due date."""
    cost: tuple[Price, ...] = ()
    """What is charged for it; nothing on a day on which none holds."""

    def cost_on(self, day: date) -> Decimal:
        """In EUR."""
        return next((one.amount for one in self.cost if one.holds(day)), Decimal(0))


class DefaultNotice(Reminder):
    """The last demand before it is enforced (ingebrekestelling)."""

    registered: bool = True
    """In the eBox or by registered letter, as a warrant (dwangbevel) wants it; else by ordinary letter."""


class Payment(Shape):
    """What happens between the invoice and the money."""

    term_days: Annotated[int, Field(gt=0, le=365)] = 30
    """From invoice to due date."""
    reminders: tuple[Reminder, ...] = ()
    """In order of days."""
    default_notice: DefaultNotice | None = None
    """After the reminders, before the end."""
    costs_legal_basis: str | None = None
    """On what the costs of reminders and the notice of default rest; needed where there are any."""
    unpaid_after_days: Days = 30
    """So many days after the due date it ends as `unpaid` says."""
    unpaid: Literal["cancel", "hand_over"] = "cancel"
    """cancel: invoice credited, case cancelled (goods that were handed over already: as hand_over);
    hand_over: to the financial director for recovery."""
    checkout_hours: Annotated[int, Field(gt=0, le=720)] = 24
    """Where payment is the first stage: an application is cancelled that is not paid by the end of the day on
    which so many hours are over."""
    journal: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,10}$")]
    """The sales journal (dagboek) in which the invoices are numbered without gaps."""
    remark: Text | None = None
    """Stands on the invoice."""
    buyer: Buyer | None = None
    """Where an organisation can buy too: it gets an invoice for Peppol."""


class Planning(Shape):
    """How a delivery slot is agreed."""

    lead_days: Days = 1
    """The first slot offered is at least so many days ahead."""
    horizon_days: Annotated[int, Field(gt=0, le=365)] = 60
    """The last slot offered is at most so many days ahead."""
    weekdays: tuple[
        Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], ...
    ] = ()
    """Only slots on these days; empty: any day that the planning tool offers."""
    choose_within_days: Annotated[int, Field(gt=0, le=365)] = 14
    """So many days to choose a slot."""
    reminder_days: Days = 7
    """So many days after the invitation to choose."""
    hold_minutes: Annotated[int, Field(gt=0, le=1440)] = 30
    """So long a chosen slot is kept while it is confirmed or paid for."""
    otherwise: Literal["first_free"] = "first_free"
    """Who does not choose gets the first free slot, and is told."""


class Delivery(Shape):
    """The hand-over."""

    missed: Literal["plan_again"] = "plan_again"
    """Who was not reached chooses another slot."""
    unconfirmed_after_days: Days = 2
    """So many days after a slot without word of the hand-over, a person is asked what happened."""
