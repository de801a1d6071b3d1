"""What several groups of mutations take and answer."""

from typing import Annotated

from strawberry import ID

from loket import (
    cases,
    records,
)
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.cases import Case
from loket.api.payloads import Payload
from loket.ids import decode_id
from loket.work import Work

CaseId = Annotated[ID, described_argument("Which case.")]


@input_type
class ReasonInput:
    """A reason."""

    reason: str = described("Why.")


@output
class CasePayload(Payload):
    """A case as it is now."""

    case: Case | None = described("The case.", default=None)


async def locked_case(work: Work, id: str, expected_version: int | None) -> records.Case:
    return await cases.get(work, decode_id(id, "Case"), expected_version=expected_version)
