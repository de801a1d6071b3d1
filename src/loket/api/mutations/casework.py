"""What is done with a case: by its applicant, and by those who handle it."""

from datetime import date
from functools import partial
from typing import Annotated

import strawberry
from strawberry import ID

from loket import (
    endings,
    handling,
    information,
    records,
    screening,
)
from loket.api.context import (
    handler,
    signed_in,
    staff,
)
from loket.api.mutations.shared import CaseId, CasePayload, ReasonInput, locked_case
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.cases import Case
from loket.api.objects.casework import Note, Task
from loket.api.payloads import Payload
from loket.api.roots import kept_whole, mutation
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.lifecycle import Stage
from loket.work import Work

MAX_BULK = 100


@input_type
class MotivationInput:
    """Why, as the law asks it of every individual decision (wet van 29 juli 1991)."""

    motivation_legal: str = described("In law.")
    motivation_factual: str = described("In fact.")
    message: str = described("In plain words; without it the motivation in fact.", default="")


@input_type
class OptionalReasonInput:
    """A reason, if you like to give one."""

    reason: str = described("Why.", default="")


@input_type
class QuestionInput:
    """What the applicant is asked."""

    question: str = described("The question, as the applicant will read it.")


@input_type
class AnswerInput:
    """The applicant's answer."""

    answer: str = described("The answer.")


@input_type
class TermInput:
    """A longer term."""

    until: date = described("The new last day.")
    reason: str = described("Why.")


@input_type
class ReopenInput:
    """A new round."""

    stage: Stage = described("From which stage on.")
    reason: str = described("Why: appeal, revision, money that came back.")


@input_type
class NoteInput:
    """A note."""

    text: str = described("The words; never shown to the citizen.")


@input_type
class TaskInput:
    """How a task was settled."""

    remark: str = described("In words.", default="")


@output
class BulkResult:
    """What came of one of many."""

    case_id: ID = described("Which case.")
    case: Case | None = described("The case, where it was done.", default=None)
    error: str | None = described("Why it was not done.", default=None)


@output
class BulkPayload(Payload):
    """One result per case."""

    results: list[BulkResult] = described("In the order asked.", default_factory=list)


@output
class NotePayload(Payload):
    """A note."""

    note: Note | None = described("The note.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class TaskPayload(Payload):
    """A task as it is now."""

    task: Task | None = described("The task.", default=None)


@strawberry.type
class Casework:
    """What is done with a case: by its applicant, and by those who handle it."""

    @mutation(policy=handler)
    async def case_assign(
        self,
        work: Work,
        id: CaseId,
        handler_id: Annotated[ID | None, described_argument("To whom; to yourself without it.")] = None,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Give a case to a handler."""
        case = await locked_case(work, id, expected_version)
        await handling.assign(
            work, case, decode_id(handler_id, "StaffMember", path=["handlerId"]) if handler_id else None
        )
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_bulk_assign(
        self,
        info: strawberry.Info,
        ids: Annotated[list[ID], described_argument("Which cases, at most 100.")],
        handler_id: Annotated[ID | None, described_argument("To whom; to yourself without it.")] = None,
    ) -> BulkPayload:
        """Give many cases to a handler; each succeeds or fails by itself."""
        if len(ids) > MAX_BULK:
            raise Refused(ErrorCode.TOO_LARGE, path=["ids"], limit=f"{MAX_BULK} cases")
        to = decode_id(handler_id, "StaffMember", path=["handlerId"]) if handler_id else None
        results: list[BulkResult] = []

        async def assign(id: str, work: Work) -> records.Case:
            case = await locked_case(work, id, None)
            await handling.assign(work, case, to)
            return case

        for id in ids:
            try:
                case = await kept_whole(info.context, partial(assign, id), handler)
                results.append(BulkResult(case_id=id, case=Case.of(case.id)))
            except Refused as refusal:
                results.append(BulkResult(case_id=id, error=refusal.message(info.context.viewer.language)))
        return BulkPayload(results=results)

    @mutation(policy=handler)
    async def case_release(self, work: Work, id: CaseId, expected_version: int | None = None) -> CasePayload:
        """Give a case back to the queue."""
        case = await locked_case(work, id, expected_version)
        await handling.release(work, case)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_declare_admissible(
        self, work: Work, id: CaseId, expected_version: int | None = None
    ) -> CasePayload:
        """Say that the application may be handled."""
        case = await locked_case(work, id, expected_version)
        await screening.declare_admissible(work, case)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_declare_inadmissible(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[MotivationInput, described_argument("Why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Say that the application may not be handled, and why. Ends the case."""
        case = await locked_case(work, id, expected_version)
        await screening.declare_inadmissible(
            work, case, legal=input.motivation_legal, fact=input.motivation_factual, message=input.message
        )
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_request_information(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[QuestionInput, described_argument("The question.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Ask the applicant for more; the term stands still where the procedure allows it."""
        case = await locked_case(work, id, expected_version)
        await information.request(work, case, input.question)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def case_supply_information(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[AnswerInput, described_argument("The answer.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Answer what was asked."""
        case = await locked_case(work, id, expected_version)
        await information.supply(work, case, input.answer)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_suspend(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Stop the clock of the term."""
        case = await locked_case(work, id, expected_version)
        await handling.suspend(work, case, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_resume(self, work: Work, id: CaseId, expected_version: int | None = None) -> CasePayload:
        """Let the clock of the term run on."""
        case = await locked_case(work, id, expected_version)
        await handling.resume(work, case)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_extend_term(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[TermInput, described_argument("Until when, and why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Make the term longer, with a reason that the applicant is told."""
        case = await locked_case(work, id, expected_version)
        await handling.extend_term(work, case, input.until, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def case_withdraw(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[OptionalReasonInput | None, described_argument("Why.")] = None,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Take the application back; possible until the goods are handed over. Money comes back."""
        case = await locked_case(work, id, expected_version)
        await endings.withdraw(work, case, input.reason if input else "")
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_cancel(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Stop a case, with a reason that the applicant is told. Money goes back."""
        case = await locked_case(work, id, expected_version)
        await endings.cancel(work, case, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def case_request_review(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[OptionalReasonInput | None, described_argument("Why.")] = None,
    ) -> CasePayload:
        """Ask that a person looks again at a refusal."""
        case = await locked_case(work, id, None)
        await endings.request_review(work, case, input.reason if input else "")
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_reopen(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[ReopenInput, described_argument("From where, and why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Open an ended case again, for a new round."""
        case = await locked_case(work, id, expected_version)
        await endings.reopen(work, case, input.stage, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=staff)
    async def case_add_note(
        self, work: Work, id: CaseId, input: Annotated[NoteInput, described_argument("The note.")]
    ) -> NotePayload:
        """Make a note that the citizen never sees."""
        case = await locked_case(work, id, None)
        note = await handling.add_note(work, case, input.text)
        return NotePayload(note=Note.of(note.id), case=Case.of(case.id))

    @mutation(policy=staff)
    async def task_complete(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which task.")],
        input: Annotated[TaskInput | None, described_argument("How it was settled.")] = None,
    ) -> TaskPayload:
        """Say that a task is settled."""
        task = await handling.complete_task(work, decode_id(id, "Task"), input.remark if input else "")
        return TaskPayload(task=Task.of(task.id))
