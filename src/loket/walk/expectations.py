"""What a walk must have brought about outside, said by who wrote the walk and not by Loket."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from loket.walk.promises import Moment, Promises, flat

# fmt: off
DOSIS = {
    # event                   code and phase
    "SUBMITTED":             ("Ingediend",          "Samenstelling"),
    "REFERRED":              ("InBehandeling",      "Behandeling"),
    "ADMISSIBLE":            ("Ontvankelijk",       "Behandeling"),
    "INADMISSIBLE":          ("OnOntvankelijk",     "Afgerond"),
    "INFORMATION_REQUESTED": ("DossierOnvolledig",  "Behandeling"),
    "INFORMATION_SUPPLIED":  ("InBehandeling",      "Behandeling"),
    "APPROVED":              ("Goedgekeurd",        "Beslissing"),
    "PAYMENT_DUE":           ("KlaarVoorBetaling",  "Uitvoering"),
    "PAID":                  ("Betaald",            "Uitvoering"),
    "DEFAULT_NOTICE_SENT":   ("KlaarVoorBetaling",  "Uitvoering"),
    "SLOT_NEEDED":           ("Gepland",            "Uitvoering"),
    "PLANNED":               ("Gepland",            "Uitvoering"),
    "RESCHEDULED":           ("Gepland",            "Uitvoering"),
    "SLOT_MOVED":            ("Gepland",            "Uitvoering"),
    "SLOT_LOST":             ("Gepland",            "Uitvoering"),
    "MISSED":                ("Gepland",            "Uitvoering"),
    "DELIVERED":             ("Uitgevoerd",         "Uitvoering"),
    "COMPLETED":             ("Uitgevoerd",         "Afgerond"),
    "WITHDRAWN":             ("Stopgezet",          "Afgerond"),
    "CANCELLED":             ("Stopgezet",          "Afgerond"),
    "REOPENED":              ("InBehandeling",      "Beroep"),
}
# fmt: on
"""The Flemish words for what happens, as the municipalities agreed on them with DOSIS."""

TO_PAY = ["SUBMITTED", "ADMISSIBLE", "APPROVED", "PAYMENT_DUE"]
TO_SLOT = [*TO_PAY, "PAID", "SLOT_NEEDED"]
TO_DOOR = ["DELIVERED", "COMPLETED"]


@dataclass(frozen=True)
class Expected:
    """How a case must have ended, and who must have heard of what."""

    status: str
    statuses: Sequence[str]
    """What DOSIS must have heard, by event, in order."""
    messages: Sequence[str]
    """What the citizen must have been told over each channel, by event, in order."""
    entries: dict[str, Decimal] = field(default_factory=dict)
    """What accounting must have booked: type and amount, each once."""
    more_entries: Sequence[tuple[str, Decimal]] = ()
    """And what it booked besides, of the same types."""
    booking: str | None = None
    """How the planning tool must see the delivery; None: it knows of none."""
    open_tasks: Sequence[str] = ()
    """What waits for a person at the end."""
    calendar: Sequence[int] | None = ()
    """The sequence numbers of the appointment in the mailbox, in order; None: any, as long as they rise."""
    promises: Promises | None = None
    """What its definition says; None: what is said above."""
    happened: Sequence[str] | None = ()
    """All events of which somebody outside hears, in order; None: looked at already."""
    channels: Sequence[str] = ("MBP", "EMAIL", "SMS")
    """Over which the citizen hears."""
    payouts: Sequence[tuple[str, Decimal]] = ()
    """What accounting was asked to pay, in order: what became of it, and EUR."""
    letters: Sequence[str] = ()
    """How the decisions were delivered, in order: EBOX, REGISTERED or NORMAL."""
    notices: int = 0
    """How many of the letters are of no decision: they name no way to appeal."""
    agenda: Sequence[str] = ()
    """What the body made of its item, in order: the states of the minutes system."""

    invoice: Sequence[str] = ("PAID", "CREDITED")
    """How an ended case may leave its invoice."""
    registered: bool = False
    """Whether MAGDA still keeps the citizen registered: something else of theirs is open."""

    def due_over(self, channel: str) -> list[str]:
        """What they must have been told over one channel, in order."""
        if channel not in self.channels:
            return []
        promises = self.promises
        return [one for one in self.messages if promises is None or promises.goes_over(one, channel)]

    @property
    def dosis(self) -> list[str]:
        if self.promises is not None:
            return [self.promises.codes[event] for event in self.statuses]
        return [DOSIS[event][0] for event in self.statuses]


def delivered(amount: Decimal, **different: object) -> Expected:
    """A case that went all the way; what is different is named."""
    usual: dict[str, object] = {
        "status": "COMPLETED",
        "statuses": [*TO_SLOT, "PLANNED", *TO_DOOR],
        "messages": ["SUBMITTED", "APPROVED", "PAID", "PLANNED", "DELIVERED"],
        "entries": {"INVOICE": amount, "PAYMENT": amount},
        "booking": "DELIVERED",
        "calendar": [0],
    }
    return Expected(**{**usual, **different})  # type: ignore[arg-type]  # fields of Expected by name


def promised(promises: Promises, status: str, happened: Sequence[Moment], **different: object) -> Expected:
    """A case to which this happened; who hears of it, and in which words, its definition says."""
    told: dict[str, object] = {
        "status": status,
        "statuses": promises.statuses(happened),
        "messages": promises.told(happened),
        "promises": promises,
        "happened": list(flat(happened)),
    }
    return Expected(**{**told, **different})  # type: ignore[arg-type]  # fields of Expected by name
