"""Premiums that are paid out, and refunds that go by bank transfer."""

from datetime import date
from enum import StrEnum
from typing import Annotated

import strawberry
from strawberry import ID

from loket import payout_accounts, payout_book, payout_facts, payouts
from loket.api.context import bookkeeper, payer, signed_in
from loket.api.mutations.shared import CaseId, ReasonInput, locked_case
from loket.api.naming import described, described_argument, enumeration, input_type, output
from loket.api.objects.cases import Case
from loket.api.objects.money import Payout
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.api.scalars import IBAN
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.lifecycle import PartAction
from loket.records import Case as CaseRecord
from loket.records import Payout as PayoutRecord
from loket.work import Work

PayoutId = Annotated[ID, described_argument("Which payout.")]


class PayoutResult(StrEnum):
    EXECUTED = "EXECUTED"
    REJECTED = "REJECTED"
    RETURNED = "RETURNED"


enumeration(
    PayoutResult,
    {
        "EXECUTED": "The money left our account.",
        "REJECTED": "The money never left.",
        "RETURNED": "The money left and came back.",
    },
    description="How a payout ended.",
)
_ACTIONS = {
    PayoutResult.EXECUTED: PartAction.EXECUTE,
    PayoutResult.REJECTED: PartAction.REJECT,
    PayoutResult.RETURNED: PartAction.RETURN,
}


@input_type
class PayoutRecordInput:
    """What the bank did."""

    result: PayoutResult = described("How it ended.")
    on: date | None = described("On which day.", default=None)
    reason_code: str = described("The bank's reason (ISO 20022), such as AC04.", default="")
    reason: str = described("In words.", default="")


@input_type
class AccountInput:
    """An account."""

    iban: IBAN = described("Its number.")


@output
class PayoutPayload(Payload):
    """A payout as it is now, and its case."""

    payout: Payout | None = described("The payout.", default=None)
    case: Case | None = described("The case.", default=None)


@strawberry.type
class Payouts:
    """Premiums that are paid out, and refunds that go by bank transfer."""

    @mutation(policy=payer)
    async def payout_order(
        self, work: Work, case_id: CaseId, idempotency_key: str, expected_version: int | None = None
    ) -> PayoutPayload:
        """Order what was granted to be paid; another person approves."""
        case = await locked_case(work, case_id, expected_version)
        return _answer(case, await payouts.order(work, case))

    @mutation(policy=bookkeeper)
    async def payout_approve(
        self, work: Work, id: PayoutId, idempotency_key: str, expected_version: int | None = None
    ) -> PayoutPayload:
        """Agree that it is paid, not as who ordered it. Where a visum is asked, the first gives that."""
        case, payout = await _found(work, id, expected_version)
        await payouts.approve(work, case, payout)
        return _answer(case, payout)

    @mutation(policy=bookkeeper)
    async def payout_decline(
        self,
        work: Work,
        id: PayoutId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> PayoutPayload:
        """Do not agree that it is paid; it can be ordered again."""
        case, payout = await _found(work, id, expected_version)
        await payouts.decline(work, case, payout, input.reason)
        return _answer(case, payout)

    @mutation(policy=payer)
    async def payout_cancel(
        self,
        work: Work,
        id: PayoutId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> PayoutPayload:
        """Take an order back, as long as accounting does not have it."""
        case, payout = await _found(work, id, expected_version)
        await payouts.cancel(work, case, payout, input.reason)
        return _answer(case, payout)

    @mutation(policy=signed_in)
    async def payout_correct_account(
        self,
        work: Work,
        case_id: CaseId,
        input: Annotated[AccountInput, described_argument("The other account.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> PayoutPayload:
        """Give another account: after the bank refused the first, or before a payout is ordered."""
        case = await locked_case(work, case_id, expected_version)
        await payout_accounts.correct(work, case, input.iban)
        return _answer(case, None)

    @mutation(policy=bookkeeper)
    async def payout_record(
        self,
        work: Work,
        id: PayoutId,
        input: Annotated[PayoutRecordInput, described_argument("What the bank did.")],
        idempotency_key: str,
    ) -> PayoutPayload:
        """Write down what the bank did, where accounting did not tell; the same as it telling us."""
        case, payout = await payout_book.get_locked(work, decode_id(id, "Payout"))
        fact = payout_facts.Fact(
            _ACTIONS[input.result],
            on=input.on,
            code=input.reason_code.strip().upper()[:35],
            reason=input.reason.strip()[:1000],
        )
        await payout_facts.heard(work, payout.id, fact)
        return _answer(case, payout)


async def _found(work: Work, id: str, expected_version: int | None) -> tuple[CaseRecord, PayoutRecord]:
    case, payout = await payout_book.get_locked(work, decode_id(id, "Payout"))
    if expected_version is not None and expected_version != payout.version:
        raise Refused(ErrorCode.VERSION_CONFLICT, current=payout.version, extra={"current": payout.version})
    return case, payout


def _answer(case: CaseRecord, payout: PayoutRecord | None) -> PayoutPayload:
    return PayoutPayload(payout=Payout.of(payout.id) if payout else None, case=Case.of(case.id))
