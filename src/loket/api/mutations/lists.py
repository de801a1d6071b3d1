"""One thing done with each case of a list, all or nothing for each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from strawberry import ID

from loket import records
from loket.api.mutations.shared import locked_case
from loket.api.naming import described, described_argument, output
from loket.api.objects.cases import Case
from loket.errors import ErrorCode, ManyRefused, Refused
from loket.ids import read_id
from loket.work import Work

MAX_CASES = 100

CaseIds = Annotated[list[ID], described_argument("Which cases: one, or at most 100 of one procedure.")]
Version = Annotated[
    int | None, described_argument("Refuse with VERSION_CONFLICT otherwise; only with one case.")
]


@output
class CaseRefusal:
    """Why something was not done with one case of a list."""

    message: str = described("For people, in your language.")
    code: ErrorCode = described("For programs.")
    path: list[str] | None = described("The input at fault.", default=None)
    rule: str | None = described("The rule that leaves it to you.", default=None)


@output
class CaseResult:
    """What came of one case of a list."""

    case_id: ID = described("Which case.")
    case: Case | None = described("The case; null where it was refused.", default=None)
    errors: list[CaseRefusal] = described("Why it was not done (yet).", default_factory=list)


async def each(
    work: Work,
    ids: Sequence[ID],
    expected_version: int | None,
    act: Callable[[records.Case], Awaitable[CaseRefusal | None]],
) -> list[CaseResult]:
    """Do something with each case, all or nothing for each; in one order, so that lists do not deadlock.

    What `act` answers is why it could not be done yet; what it began is kept.
    """
    if not 1 <= len(ids) <= MAX_CASES:
        raise Refused(ErrorCode.TOO_LARGE, path=["caseIds"], limit=f"1 to {MAX_CASES} cases")
    if len(set(ids)) < len(ids):
        raise Refused(ErrorCode.VALIDATION, path=["caseIds"], reason="each case once")
    if len(ids) == 1:
        case = await locked_case(work, ids[0], expected_version)
        return [_result(ids[0], case, await act(case))]
    if expected_version is not None:
        raise Refused(ErrorCode.VALIDATION, path=["expectedVersion"], reason="only with one case")
    results: dict[ID, CaseResult] = {}
    for id in sorted(ids, key=_place):
        try:
            async with _apart(work):
                case = await locked_case(work, id, None)
                results[id] = _result(id, case, await act(case))
        except (Refused, ManyRefused) as fault:
            results[id] = CaseResult(case_id=id, errors=_refusals(work, fault))
    return [results[id] for id in ids]


def _place(id: ID) -> str:
    """By the key itself, as what is heard of an agenda item locks its cases."""
    found = read_id(id)
    return str(found.key) if found else ""


def _result(id: ID, case: records.Case, not_yet: CaseRefusal | None) -> CaseResult:
    return CaseResult(case_id=id, case=Case.of(case.id), errors=[not_yet] if not_yet else [])


@asynccontextmanager
async def _apart(work: Work) -> AsyncIterator[None]:
    """A part of the work that is kept or forgotten by itself."""
    entered, happened = len(work.entered), len(work.happened)
    try:
        async with work.session.begin_nested():
            yield
    except (Refused, ManyRefused):
        del work.entered[entered:], work.happened[happened:]
        raise


def _refusals(work: Work, fault: Refused | ManyRefused) -> list[CaseRefusal]:
    refusals = fault.refusals if isinstance(fault, ManyRefused) else [fault]
    return [
        CaseRefusal(
            message=one.message(work.actor.language),
            code=one.code,
            path=one.path,
            rule=one.extra.get("rule"),
        )
        for one in refusals
    ]
