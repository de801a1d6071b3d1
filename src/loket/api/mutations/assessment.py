"""How the merits are weighed: checks that are asked again, or that a document stands in for."""

from typing import Annotated

import strawberry
from strawberry import ID

from loket import cases, checks, records
from loket.api.context import handler, staff
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.cases import Case
from loket.api.objects.checks import Check
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.work import Work

CheckId = Annotated[ID, described_argument("Which check.")]


@input_type
class ReplacementInput:
    """What stands in the place of a check."""

    document_id: ID = described("A file of the case, of a kind that the procedure names for this check.")
    remark: str = described("What it shows.", default="")


@output
class CheckPayload(Payload):
    """A check as it is now."""

    check: Check | None = described("The check.", default=None)
    case: Case | None = described("Its case.", default=None)


@strawberry.type
class Assessment:
    """How the merits are weighed."""

    @mutation(policy=staff)
    async def check_repeat(
        self, work: Work, id: CheckId, expected_version: int | None = None
    ) -> CheckPayload:
        """Ask the source again: a handler any check, an operator one that failed."""
        case, key = await _locked(work, id, expected_version)
        check = await checks.repeat(work, case, key)
        return CheckPayload(check=Check.of(check.id), case=Case.of(case.id))

    @mutation(policy=handler)
    async def check_replace_by_document(
        self,
        work: Work,
        id: CheckId,
        input: Annotated[ReplacementInput, described_argument("By which document.")],
        expected_version: int | None = None,
    ) -> CheckPayload:
        """Let a document show what the source could not."""
        case, key = await _locked(work, id, expected_version)
        document_id = decode_id(input.document_id, "Document", path=["input", "documentId"])
        check = await checks.replace_by_document(work, case, key, document_id, input.remark)
        return CheckPayload(check=Check.of(check.id), case=Case.of(case.id))


async def _locked(work: Work, id: str, expected_version: int | None) -> tuple[records.Case, str]:
    """The case of a check, locked, and the check's key.

    Raises:
        Refused: NOT_FOUND also for a check of an earlier round; VERSION_CONFLICT.
    """
    check = await work.session.get(records.Check, decode_id(id, "Check"))
    if check is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["id"])
    case = await cases.get(work, check.case_id, expected_version=expected_version)
    current = await checks.find(work, case, check.kind)
    if current is None or current.id != check.id:
        raise Refused(ErrorCode.NOT_FOUND, path=["id"])
    return case, check.kind
