"""What citizens say of how it went."""

from typing import Annotated

import strawberry

from loket import experiences
from loket.api.context import citizen
from loket.api.mutations.shared import CaseId, CasePayload, locked_case
from loket.api.naming import described_argument
from loket.api.objects.cases import Case
from loket.api.roots import mutation
from loket.records import Feeling
from loket.work import Work


@strawberry.type
class Experiences:
    """What citizens say of how it went."""

    @mutation(policy=citizen)
    async def experience_rate(
        self,
        work: Work,
        case_id: CaseId,
        phase: Annotated[str, described_argument("The key of a phase that your case went through.")],
        feeling: Annotated[Feeling, described_argument("How you found it.")],
        remark: Annotated[str, described_argument("Why, if you like to say; at most 1,000 characters.")] = "",
    ) -> CasePayload:
        """Say how you found a phase of your case: once, after it happened."""
        case = await locked_case(work, case_id, None)
        await experiences.rate(work, case, phase, feeling, remark)
        return CasePayload(case=Case.of(case.id))
