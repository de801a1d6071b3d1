"""How a case is decided: prepared, put before a body, and recorded."""

import binascii
from base64 import b64decode
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import strawberry
from strawberry import ID

from loket import agenda, decisions, records, sittings, withdrawals
from loket.api.context import deciding, handler, secretariat
from loket.api.mutations.lists import CaseIds, CaseRefusal, CaseResult, Version, each
from loket.api.mutations.shared import CaseId, CasePayload, ReasonInput, locked_case
from loket.api.naming import described, described_argument, enumeration, input_type, output
from loket.api.objects.cases import Case
from loket.api.objects.decisions import AgendaItem
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.errors import ErrorCode, Refused
from loket.hearsay import Heard, Signatory
from loket.lifecycle import DecisionStatus
from loket.proposals import Wish
from loket.systems.minutes_item import Outcome
from loket.work import Work

LARGEST_DOCUMENT = 5_000_000
"""Bytes of a signed decision."""
MOST_SIGNATORIES = 10


class RecordedResult(StrEnum):
    ACCEPTED = "ACCEPTED"
    MODIFIED = "MODIFIED"
    REFUSED = "REFUSED"
    POSTPONED = "POSTPONED"
    REMOVED = "REMOVED"


enumeration(
    RecordedResult,
    {
        "ACCEPTED": "As proposed.",
        "MODIFIED": "Accepted with another text: the handler confirms what was decided.",
        "REFUSED": "The proposal was refused.",
        "POSTPONED": "Put off to a later meeting.",
        "REMOVED": "Taken from the agenda.",
    },
    description="What a body did with a proposal.",
)


@input_type
class DecisionInput:
    """What a handler decides."""

    granted: bool = described("Granted, or refused.")
    motivation_legal: str = described("Why, in law; needed for a refusal.", default="")
    motivation_factual: str = described("Why, in fact; needed for a refusal.", default="")
    message: str = described("In plain words for the applicant.", default="")


@input_type
class BenefitChoice:
    """What is proposed of one benefit."""

    key: str = described("Its key in the definition.")
    granted: bool = described("Whether it is granted.")


@input_type
class ProposalInput:
    """What is proposed otherwise than the rules say; what is left out is left to them."""

    outcome: DecisionStatus | None = described("GRANTED, PARTLY_GRANTED or REFUSED.", default=None)
    benefits: list[BenefitChoice] | None = described("Per benefit that was asked.", default=None)
    amount: Decimal | None = described("In EUR, all together.", default=None)
    conditions: str = described("On which conditions.", default="")
    motivation_legal: str = described("Why, in law; else the definition's words.", default="")
    motivation_factual: str = described("Why, in fact; else the definition's words.", default="")
    message: str = described("In plain words for the applicant.", default="")


@input_type
class SignatoryInput:
    """Who signed."""

    name: str = described("The name.")
    function: str = described("As what: burgemeester, algemeen directeur.")
    signed_on: date = described("When.")


@input_type
class RecordInput:
    """What a body decided."""

    result: RecordedResult = described("What it did with the proposal.")
    decided_on: date = described("The day of the meeting.")
    signatories: list[SignatoryInput] = described(
        "Two for a decision that holds; it waits for them.", default_factory=list
    )
    document: str | None = described("The signed decision, base64 of a PDF.", default=None)
    sha256: str | None = described("Of that document, hexadecimal.", default=None)
    amount: Decimal | None = described("In EUR, where the body changed it.", default=None)
    text: str = described("What it decided in its own words, where it changed the draft.", default="")


@output
class DecisionPreparePayload(Payload):
    """A result per case. One case alone that is refused is refused as a whole."""

    results: list[CaseResult] = described("In the order asked.", default_factory=list)


@output
class DecisionSendToMinutesPayload(Payload):
    """The item, with a result per case. One case alone that is refused is refused as a whole."""

    agenda_item: AgendaItem | None = described("The item; null where no case could go on it.", default=None)
    results: list[CaseResult] = described("In the order asked.", default_factory=list)


@output
class DecisionRecordPayload(Payload):
    """The cases that were decided."""

    cases: list[Case] = described("All cases of the item, or the one.", default_factory=list)


@strawberry.type
class Decisions:
    """How a case is decided."""

    @mutation(policy=handler)
    async def decision_prepare(
        self,
        work: Work,
        case_ids: CaseIds,
        idempotency_key: str,
        input: Annotated[ProposalInput | None, described_argument("Otherwise than the rules say.")] = None,
        expected_version: Version = None,
    ) -> DecisionPreparePayload:
        """Draft the decision: what is due by the rules, with its motivation; or as you say."""
        wish = _wish(input)

        async def prepare(case: records.Case) -> CaseRefusal | None:
            drafted = await decisions.prepare(work, case, wish)
            return None if drafted else _asked_again(work)

        return DecisionPreparePayload(results=await each(work, case_ids, expected_version, prepare))

    @mutation(policy=handler)
    async def decision_send_to_minutes(
        self,
        work: Work,
        case_ids: CaseIds,
        idempotency_key: str,
        meeting_uid: Annotated[
            str | None, described_argument("Which meeting, as `meetings` names it; the next one without it.")
        ] = None,
        expected_version: Version = None,
    ) -> DecisionSendToMinutesPayload:
        """Put drafts on the agenda of their body, as one item. Names stand in its closed annex alone."""
        if meeting_uid is not None and not 1 <= len(meeting_uid) <= 100:
            raise Refused(ErrorCode.VALIDATION, path=["meetingUid"], reason="1 to 100 characters")
        listed: list[tuple[records.Case, records.Decision]] = []

        async def ready(case: records.Case) -> CaseRefusal | None:
            decision = await agenda.ready(work, case)
            if listed and _kind(*listed[0]) != _kind(case, decision):
                raise Refused(
                    ErrorCode.VALIDATION, path=["caseIds"], reason="one procedure, version and body an item"
                )
            listed.append((case, decision))
            return None

        results = await each(work, case_ids, expected_version, ready)
        item = await agenda.send(work, listed, meeting_uid) if listed else None
        return DecisionSendToMinutesPayload(
            agenda_item=AgendaItem.of(item.id) if item else None, results=results
        )

    @mutation(policy=secretariat)
    async def decision_record(
        self,
        work: Work,
        input: Annotated[RecordInput, described_argument("What the body decided.")],
        idempotency_key: str,
        case_id: Annotated[ID | None, described_argument("One case;")] = None,
        external_identifier: Annotated[
            str | None, described_argument("or all cases of an agenda item.")
        ] = None,
    ) -> DecisionRecordPayload:
        """Record what a body decided. Again it changes nothing; a word that differs asks a person."""
        facts = _heard(work, input)
        if (case_id is None) is (external_identifier is None):
            raise Refused(ErrorCode.REQUIRED, path=["caseId"])
        if case_id is not None:
            case = await locked_case(work, case_id, None)
            await sittings.recorded(work, case, facts)
            return DecisionRecordPayload(cases=[Case.of(case.id)])
        item = await agenda.find(work, external_identifier or "")
        if item is None:
            raise Refused(ErrorCode.NOT_FOUND, path=["externalIdentifier"])
        concerned = await sittings.heard(work, item.id, facts)
        return DecisionRecordPayload(cases=[Case.of(case.id) for case in concerned])

    @mutation(policy=handler)
    async def decision_confirm(
        self,
        work: Work,
        case_id: CaseId,
        input: Annotated[ProposalInput, described_argument("What the body decided.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Say what the body decided, where it changed the proposal."""
        case = await locked_case(work, case_id, expected_version)
        await decisions.confirm(work, case, _wish(input))
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=deciding)
    async def decision_withdraw(
        self,
        work: Work,
        case_id: CaseId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Take a decision back: a draft from its agenda, or what was granted and not yet paid."""
        case = await locked_case(work, case_id, expected_version)
        await withdrawals.withdraw(work, case, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def decision_take(
        self,
        work: Work,
        case_id: CaseId,
        input: Annotated[DecisionInput, described_argument("The decision.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Decide on a case, as a handler; not where a body decides."""
        case = await locked_case(work, case_id, expected_version)
        await decisions.take(
            work,
            case,
            granted=input.granted,
            legal=input.motivation_legal,
            fact=input.motivation_factual,
            message=input.message,
        )
        return CasePayload(case=Case.of(case.id))


def _asked_again(work: Work) -> CaseRefusal:
    dutch = "De bronnen worden opnieuw bevraagd. Probeer het zo meteen nog eens, of kies zelf een uitkomst."
    english = "The sources are asked again. Try again in a moment, or choose an outcome yourself."
    message = english if work.actor.language == "en" else dutch
    return CaseRefusal(message=message, code=ErrorCode.SYSTEM_UNAVAILABLE)


def _kind(case: records.Case, decision: records.Decision) -> tuple[str, int, str | None]:
    return case.procedure_key, case.procedure_version, decision.body


# --- what was given ---------------------------------------------------------------------------


def _wish(input: ProposalInput | None) -> Wish:
    if input is None:
        return Wish()
    return Wish(
        outcome=input.outcome,
        amount=input.amount,
        benefits={one.key: one.granted for one in input.benefits or ()},
        conditions=input.conditions,
        legal=input.motivation_legal,
        fact=input.motivation_factual,
        message=input.message,
    )


def _heard(work: Work, input: RecordInput) -> Heard:
    if len(input.signatories) > MOST_SIGNATORIES:
        raise Refused(ErrorCode.TOO_LARGE, path=["input", "signatories"], limit=str(MOST_SIGNATORIES))
    if any(not one.name.strip() or not one.function.strip() for one in input.signatories):
        raise Refused(ErrorCode.REQUIRED, path=["input", "signatories"])
    last = max([input.decided_on, *(one.signed_on for one in input.signatories)])
    if last > work.today:
        raise Refused(ErrorCode.VALIDATION, path=["input", "decidedOn"], reason=f"{last} is still to come")
    return Heard(
        Outcome(input.result),
        meeting_on=input.decided_on,
        signatories=tuple(
            Signatory(one.name.strip(), one.function.strip(), one.signed_on) for one in input.signatories
        ),
        content=_content(input.document),
        sha256=(input.sha256 or "").strip().lower(),
        amount=input.amount,
        text=input.text,
    )


def _content(document: str | None) -> bytes | None:
    if document is None:
        return None
    try:
        content = b64decode(document, validate=True)
    except binascii.Error as fault:
        raise Refused(ErrorCode.VALIDATION, path=["input", "document"], reason="not base64") from fault
    if len(content) > LARGEST_DOCUMENT:
        raise Refused(ErrorCode.TOO_LARGE, path=["input", "document"], limit=f"{LARGEST_DOCUMENT} bytes")
    if not content.startswith(b"%PDF-"):
        raise Refused(ErrorCode.MEDIA_TYPE, path=["input", "document"], media_type="not a PDF")
    return content
