"""What a co-applicant says."""

from typing import Annotated

import strawberry
from strawberry import ID

from loket import co_applicants
from loket.api.context import citizen
from loket.api.mutations.shared import ReasonInput
from loket.api.naming import described, described_argument, output
from loket.api.objects.co_applications import CoApplication
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.ids import decode_id
from loket.work import Work

CoApplicationId = Annotated[ID, described_argument("Which question: of `viewer.coApplications`.")]


@output
class CoApplicationPayload(Payload):
    """The question as it is now."""

    co_application: CoApplication | None = described("The question.", default=None)


@strawberry.type
class CoApplicants:
    """What a co-applicant says."""

    @mutation(policy=citizen)
    async def co_application_confirm(
        self, work: Work, id: CoApplicationId, idempotency_key: str | None = None
    ) -> CoApplicationPayload:
        """Agree with what somebody applied for together with you. Only who is asked can."""
        row = await co_applicants.confirm(work, decode_id(id, "CoApplication"))
        return CoApplicationPayload(co_application=CoApplication.of(row.id))

    @mutation(policy=citizen)
    async def co_application_refuse(
        self,
        work: Work,
        id: CoApplicationId,
        input: Annotated[ReasonInput, described_argument("Why not.")],
        idempotency_key: str | None = None,
    ) -> CoApplicationPayload:
        """Do not agree with what somebody applied for in your name too. Only who is asked can."""
        row = await co_applicants.refuse(work, decode_id(id, "CoApplication"), input.reason)
        return CoApplicationPayload(co_application=CoApplication.of(row.id))
