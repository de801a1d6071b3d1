"""What citizens say of the phases that they went through (beleving): once per case and phase."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import anonymity, figures
from loket.errors import ErrorCode, Refused
from loket.phases import WHOLE, Course, Happened, course_of
from loket.records import Application, Case, Event, Experience, Feeling
from loket.work import Work

LONGEST_REMARK = 1000
"""Characters."""


def rateable(course: Course, rated: Iterable[str] = ()) -> list[str]:
    """The phases of which something can be said: the case was there, is not now, and nothing was said yet."""
    left = {key for key, visit in course.visits.items() if visit.left_at is not None} - {WHOLE, *rated}
    return [phase.key for phase in course.definition.phases if phase.key in left]


async def rate(work: Work, case: Case, phase: str, feeling: Feeling, remark: str = "") -> Experience:
    """Keep what the applicant says of a phase, and count it. The same again is the same; a change is refused.

    Of national numbers and accounts in a remark no more is kept than one knows one's own by.

    Whoever counts locks rows of figures only, in their order, as this does last: neither waits for the other
    in a circle.

    Raises:
        Refused: VALIDATION for a phase that the procedure does not have; TOO_LARGE for a remark of more than
            `LONGEST_REMARK`; RULE_NOT_MET for a phase that the case has not been through, and for another
            word than was said of it before.
    """
    remark = anonymity.without_numbers(remark.strip())
    definition = work.definition(case)
    if phase not in {one.key for one in definition.phases}:
        raise Refused(
            ErrorCode.VALIDATION, path=["phase"], reason=f"the procedure has no phase {phase[:60]!r}"
        )
    if len(remark) > LONGEST_REMARK:
        raise Refused(ErrorCode.TOO_LARGE, path=["remark"], limit=f"{LONGEST_REMARK} characters")
    if phase not in rateable(await course(work, case)):
        raise _refused(work, "been-through", _NOT_YET)
    row = insert(Experience).values(
        case_id=case.id,
        phase=phase,
        procedure_key=case.procedure_key,
        feeling=feeling,
        remark=remark,
        rated_at=work.now,
    )
    new = await work.session.execute(row.on_conflict_do_nothing().returning(col(Experience.case_id)))
    kept = await work.session.get_one(Experience, (case.id, phase), populate_existing=True)
    if new.first() is not None:
        counted = {(case.procedure_key, phase, work.today): {feeling.lower(): 1}}
        await figures.add(work.session, counted)
    elif (kept.feeling, kept.remark) != (feeling, remark):
        raise _refused(work, "once", _ONCE)
    return kept


async def course(work: Work, case: Case) -> Course:
    """The phases that the case went through, out of its own events: true at once, counted or not."""
    application = await work.session.get_one(Application, case.application_id)
    rows = await work.session.execute(
        select(
            col(Event.type),
            col(Event.stage),
            col(Event.status),
            col(Event.previous_status),
            col(Event.occurred_at),
        )
        .where(col(Event.case_id) == case.id, col(Event.case_version).is_not(None))
        .order_by(col(Event.case_version))
    )
    return course_of(work.definition(case), application.started_at, (Happened(*row) for row in rows))


def _refused(work: Work, rule: str, said: dict[str, str]) -> Refused:
    reason = said.get(work.actor.language, said["nl"])
    return Refused(ErrorCode.RULE_NOT_MET, path=["phase"], extra={"rule": rule}, reason=reason)


_NOT_YET = {
    "nl": "Uw dossier is nog niet door deze fase gegaan.",
    "en": "Your case has not been through this phase yet.",
}
_ONCE = {
    "nl": "U hebt al gezegd hoe u deze fase vond.",
    "en": "You said already how you found this phase.",
}
