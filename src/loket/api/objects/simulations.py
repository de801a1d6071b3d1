"""Cases that are tried dry, and messages with sample values: what an author of procedures looks at."""

from datetime import datetime
from decimal import Decimal

from loket import previews, records
from loket.api.naming import described, enumeration, output
from loket.api.scalars import Money, eur
from loket.lifecycle import EventType, Stage, Status, TimerKind
from loket.records import ActorKind, MessageChannel, TimerState
from loket.rules import Outcome
from loket.segments import Dear, Segments
from loket.trial import simulated

enumeration(
    Outcome,
    {"MET": "Yes.", "NOT_MET": "No.", "REFER": "A person must look; `why` says why."},
    name="RuleOutcome",
    description="What a condition came to.",
)
enumeration(
    TimerState,
    {"ARMED": "Still to come.", "FIRED": "It came.", "CANCELLED": "It was not needed any more."},
    description="What became of a deadline.",
)


@output
class DearCharacter:
    """A character that makes a text message longer than it looks."""

    character: str = described("Which.")
    times: int = described("How often it stands there.")
    forces_ucs2: bool = described(
        "Outside GSM-7: for its sake a segment holds 70 characters in the place of 160. Else it takes two"
        " places."
    )


@output
class TextMessageLength:
    """How a text message is carried, and billed."""

    encoding: str = described("GSM-7, or UCS-2.")
    units: int = described("Places taken.")
    segments: int = described("In how many parts it goes out.")
    dear: list[DearCharacter] = described("What makes it dear, the worst first.")


@output
class SimulatedStep:
    """Something that happened to the case."""

    at: datetime = described("When, in the time of the trial.")
    stage: Stage = described("In which stage it is then.")
    status: Status = described("Where it stands then.")
    event: EventType = described("What happened.")
    by: str = described("By whom: a person, a system, or Loket itself by a rule or a timer.")
    by_kind: ActorKind = described("What kind of actor.")
    rules: list[str] = described("Keys of the rules that made it so.")
    reasons: list[str] = described("Why, in the words for the applicant.")


@output
class SimulatedRule:
    """A condition of the definition, and what it came to when it was last asked."""

    kind: str = described(
        "SCREENING, APPROVAL, BENEFIT, ASKED (of a benefit), CHECK (whether it is asked), FREE, DOCUMENT or"
        " CO_APPLICANT."
    )
    key: str = described("Its key in the definition.")
    title: str = described("Its title, in your language.")
    when: str = described("The condition itself, in CEL.")
    outcome: Outcome = described("What it came to.")
    why: str = described("With REFER: what kept it from answering.")
    times: int = described("How often it was asked.")


@output
class SimulatedAssumption:
    """What a source or an adviser was assumed to say."""

    kind: str = described("CHECK or ADVICE.")
    key: str = described("Its key in the definition.")
    title: str = described("Its title, in your language.")
    said: str = described("What came of it.")


@output
class SimulatedLine:
    """A line of what is ordered."""

    description: str = described("What.")
    quantity: int = described("How many.")
    amount: Money = described("Together, VAT included; below zero for a discount.")


@output
class SimulatedBenefit:
    """A benefit that is asked."""

    key: str = described("Its key in the definition.")
    title: str = described("Its title.")
    granted: bool = described("Whether it is granted.")
    amount: Money = described("How much.")


@output
class SimulatedMessage:
    """A message that would go out."""

    at: datetime = described("When, in the time of the trial.")
    event: EventType = described("About what.")
    channel: MessageChannel = described("Over what.")
    language: str = described("In which language.")
    subject: str = described("Its subject; a text message has none.")
    text: str = described("Its text.")
    html: str | None = described("Of an e-mail: as a mailbox shows it.")
    link: str | None = described("Where it leads.")
    skipped: str = described("Why it would not go out after all; empty when it would.")
    length: TextMessageLength | None = described("Of a text message: how long it is.")


@output
class SimulatedReport:
    """A status that DOSIS would get."""

    at: datetime = described("When, in the time of the trial.")
    event: EventType = described("For what.")
    code: str = described("Its code.")
    phase: str = described("DOSIS's phase.")
    details: list[str] = described("What stands with it.")
    action: str | None = described("What the citizen is asked to do.")
    skipped: str = described("Why it would not be sent after all; empty when it would.")


@output
class SimulatedDeadline:
    """A deadline that was set."""

    at: datetime = described("When it comes.")
    kind: TimerKind = described("What it is for.")
    state: TimerState = described("What became of it.")
    then: str = described("What happens when it comes.")


@output
class SimulatedWait:
    """For what the case waits in the end."""

    status: Status = described("Where it stands.")
    tasks: list[str] = described("What people are asked to settle.")
    until: datetime | None = described("Until when.")
    then: str = described("What happens then.")


@output
class SimulatedPath:
    """The path that a case would take."""

    procedure: str = described("The key of the procedure.")
    version: int = described("Its version.")
    reference: str = described("A number as the case would have; it is nobody's.")
    outcome: Status = described("Where it stands in the end.")
    final: bool = described("Whether it has ended.")
    amount: Money | None = described("What is granted, else what is to be paid; null where neither is.")
    lines: list[SimulatedLine] = described("What is ordered.")
    benefits: list[SimulatedBenefit] = described("What is asked to be granted.")
    statuses: list[Status] = described("Through which it goes, in order.")
    steps: list[SimulatedStep] = described("All that happens, in order.")
    rules: list[SimulatedRule] = described("All conditions that were asked, in the order of the definition.")
    assumptions: list[SimulatedAssumption] = described("What sources and advisers were assumed to say.")
    messages: list[SimulatedMessage] = described("What would be said to the citizen, in order.")
    dosis: list[SimulatedReport] = described("What DOSIS would get, in order.")
    deadlines: list[SimulatedDeadline] = described("The deadlines that were set, by day.")
    waiting: SimulatedWait | None = described("For what it waits; null when it has ended.")
    stopped: str = described("What was wished and refused, so that it went no further; else empty.")


@output
class TextPreview:
    """A message over one channel, with sample values."""

    event: EventType = described("About what.")
    channel: MessageChannel = described("Over what.")
    language: str = described("In which language it was asked.")
    spoken: str = described("In which language it would be said: Dutch where the other is not there.")
    subject: str = described("Its subject; a text message has none.")
    text: str = described("Its text.")
    html: str | None = described("Of an e-mail: as a mailbox shows it.")
    link: str | None = described("Where it leads.")
    missing: list[str] = described("Which parts are not there in that language.")
    length: TextMessageLength | None = described("Of a text message: how long it is.")


# --- out of what was found --------------------------------------------------------------------


def path_of(path: simulated.Path, language: str) -> SimulatedPath:
    """A path as the schema shows it."""
    waiting = path.waiting
    return SimulatedPath(
        procedure=path.definition.key,
        version=path.definition.version,
        reference=path.reference,
        outcome=path.outcome,
        final=path.is_final,
        amount=_money(path.amount),
        lines=[
            SimulatedLine(description=one.description, quantity=one.quantity, amount=eur(one.amount))
            for one in path.lines
        ],
        benefits=[
            SimulatedBenefit(key=one.key, title=one.title, granted=one.granted, amount=eur(one.amount))
            for one in path.benefits
        ],
        statuses=list(path.statuses),
        steps=[_step(one) for one in path.steps],
        rules=[_rule(one, language) for one in path.rules],
        assumptions=[
            SimulatedAssumption(kind=one.kind, key=one.key, title=one.title.get(language), said=one.said)
            for one in path.assumptions
        ],
        messages=[_message(one) for one in path.messages],
        dosis=[
            SimulatedReport(
                at=one.at, event=one.event, code=one.code, phase=one.phase, details=list(one.details),
                action=one.action, skipped=one.skipped,
            )
            for one in path.dosis
        ],
        deadlines=[
            SimulatedDeadline(at=one.at, kind=one.kind, state=one.state, then=one.then)
            for one in path.deadlines
        ],
        waiting=SimulatedWait(
            status=waiting.status, tasks=list(waiting.tasks), until=waiting.until, then=waiting.then
        )
        if waiting
        else None,
        stopped=path.stopped,
    )  # fmt: skip


def preview_of(one: previews.Preview) -> TextPreview:
    """A preview as the schema shows it."""
    return TextPreview(
        event=one.event,
        channel=records.MessageChannel(one.channel),
        language=one.language,
        spoken=one.spoken,
        subject=one.subject,
        text=one.text,
        html=one.html,
        link=one.link,
        missing=list(one.missing),
        length=_length(one.segments, one.dear),
    )


def _step(one: simulated.Step) -> SimulatedStep:
    return SimulatedStep(
        at=one.at, stage=one.stage, status=one.status, event=one.event, by=one.by, by_kind=one.by_kind,
        rules=list(one.rules), reasons=[str(said) for said in one.data.get("reasons") or ()],
    )  # fmt: skip


def _rule(one: simulated.RuleValue, language: str) -> SimulatedRule:
    return SimulatedRule(
        kind=one.kind, key=one.key, title=one.title.get(language), when=one.when, outcome=one.outcome,
        why=one.why, times=one.times,
    )  # fmt: skip


def _message(one: simulated.Said) -> SimulatedMessage:
    return SimulatedMessage(
        at=one.at, event=one.event, channel=one.channel, language=one.language, subject=one.subject,
        text=one.text, html=one.html, link=one.link, skipped=one.skipped,
        length=_length(one.segments, one.dear),
    )  # fmt: skip


def _length(counted: Segments | None, costly: tuple[Dear, ...]) -> TextMessageLength | None:
    if counted is None:
        return None
    dear = [
        DearCharacter(character=one.character, times=one.times, forces_ucs2=one.forces_ucs2) for one in costly
    ]
    return TextMessageLength(
        encoding=counted.encoding, units=counted.units, segments=counted.count, dear=dear
    )


def _money(amount: Decimal | None) -> Money | None:
    return None if amount is None else eur(amount)
