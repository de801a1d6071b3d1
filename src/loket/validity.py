"""How long what was granted holds (geldigheid): known when a case is completed, and watched until its end.

The case stays completed after that; what ends is a permit or a right.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from loket import cases, notation
from loket.definition import Validity
from loket.forms import answered, is_day
from loket.lifecycle import EventType, Stage, Status, TimerKind
from loket.records import Application, Case
from loket.terms import end_of, morning_of
from loket.work import Work

LONGEST = timedelta(days=36_525)
"""Nothing is granted for more than a century, nor for a day so far away: somebody typed wrong."""
UNCLEAR = "VALIDITY_UNCLEAR"
"""The task of who must look for how long it holds."""
TIMERS = (TimerKind.VALIDITY_REMINDER, TimerKind.VALIDITY_END)


@dataclass(frozen=True)
class Period:
    """Both days included."""

    first: date
    last: date


class Unclear(Exception):
    """The answers do not tell for how long it holds; the message says why."""


# --- for how long -----------------------------------------------------------------------------


def period_of(validity: Validity, answers: Mapping[str, Any], on: date) -> Period:
    """From when and until when it holds, granted on the day `on`.

    Raises:
        Unclear: the answers name no such day, one that is absurd, or an end before the beginning.
    """
    first = _day_in(answers, validity.from_field, on) if validity.from_field else on
    if validity.until_field:
        last = _day_in(answers, validity.until_field, on)
    elif validity.days is not None:
        last = first + timedelta(days=validity.days - 1)
    elif validity.months is not None:
        last = _day_before(first, validity.months)
    else:
        last = date(first.year, 12, 31)
    if last < first:
        raise Unclear(f"{last} lies before {first}")
    return Period(first, last)


def _day_before(first: date, months: int) -> date:
    """The day before the same day of a later month; where that month is too short for it, its last day."""
    again = first + relativedelta(months=months)
    return again - timedelta(days=1) if again.day == first.day else again


def _day_in(answers: Mapping[str, Any], pointer: str, on: date) -> date:
    told = answered(answers, pointer)
    if not isinstance(told, str) or not is_day(told):
        raise Unclear(f"no day at {pointer}")
    day = date.fromisoformat(told)
    if abs(day - on) > LONGEST:
        raise Unclear(f"{day} is too far away")
    return day


async def expected(work: Work, case: Case, *, decided: bool) -> Period | None:
    """For how long it will hold, where that can be told before the case is completed; `decided`: today."""
    definition = work.definition(case)
    validity = definition.validity
    begins_today = decided and definition.stages[-1] is Stage.DECISION
    if validity is None or not (validity.from_field or begins_today):
        return None
    application = await work.session.get_one(Application, case.application_id)
    try:
        return period_of(validity, application.answers, work.today)
    except Unclear:
        return None


def sentence(period: Period) -> str:
    """As it stands in an act of the municipality: Dutch."""
    days = [notation.day(one, "nl") for one in (period.first, period.last)]
    return f"Dit geldt van {days[0]} tot en met {days[1]}."


# --- of a case --------------------------------------------------------------------------------


async def begin(work: Work, case: Case) -> None:
    """The case is completed: note for how long it holds, and watch its end; who cannot tell asks a person."""
    validity = work.definition(case).validity
    if validity is None:
        return
    application = await work.session.get_one(Application, case.application_id)
    try:
        period = period_of(validity, application.answers, work.today)
    except Unclear as why:
        await cases.open_task(work, case, UNCLEAR, {"why": str(why)})
        return
    case.valid_from, case.valid_until = period.first, period.last
    await work.arm(TimerKind.VALIDITY_END, end_of(period.last), case=case)
    await _arm_reminder(work, case, period.last, validity.reminder_days)


async def stop(work: Work, case: Case) -> None:
    """It is looked at again: nothing holds until that ends."""
    case.valid_from = case.valid_until = None
    await work.disarm(*TIMERS, case=case)
    await cases.complete_tasks(work, case, UNCLEAR)


async def remind(work: Work, case: Case, days: int) -> None:
    """So many days before its last day the applicant is told that it ends."""
    validity = work.definition(case).validity
    if case.status is not Status.COMPLETED or validity is None or case.valid_until is None:
        return
    await cases.record(work, case, EventType.VALIDITY_ENDING, data=_said(case))
    await _arm_reminder(work, case, case.valid_until, [one for one in validity.reminder_days if one < days])


async def lapse(work: Work, case: Case) -> None:
    """Its last day is over."""
    if case.status is Status.COMPLETED and case.valid_until is not None:
        await work.disarm(TimerKind.VALIDITY_REMINDER, case=case)
        await cases.record(work, case, EventType.VALIDITY_ENDED, data=_said(case))


async def _arm_reminder(work: Work, case: Case, last: date, reminder_days: Iterable[int]) -> None:
    """The next one that is still to come, in the morning."""
    for days in sorted(reminder_days, reverse=True):
        moment = morning_of(last - timedelta(days=days))
        if moment > work.now:
            await work.arm(TimerKind.VALIDITY_REMINDER, moment, case=case, number=days)
            return


def _said(case: Case) -> dict[str, str]:
    days = {"valid_from": case.valid_from, "valid_until": case.valid_until}
    return {name: day.isoformat() for name, day in days.items() if day is not None}
