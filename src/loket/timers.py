"""Deadlines: a timer fires once, as an ordinary transition, in the transaction that marks it fired.

It is due by the database's clock: one machine whose own clock jumps fires nothing early and holds nothing up.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from loket import (
    advice,
    agenda,
    applications,
    batches,
    cases,
    co_applicants,
    consultation,
    deliveries,
    deposits,
    dunning,
    information,
    letters,
    payments,
    payout_facts,
    payouts,
    places,
    reconciliation,
    renewals,
    sources,
    timetable,
    validity,
)
from loket.app import Loket
from loket.database import clock, kept_whole
from loket.lifecycle import FINAL, Action, ApplicationStatus, PartAction, Stage, Status, TimerKind
from loket.records import Application, Case, Person, Timer, TimerState
from loket.work import Work, the_system

logger = logging.getLogger(__name__)

BATCH = 100
FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=15)
ASKING = frozenset({TimerKind.SLOT_END, TimerKind.RENEWAL})
"""The planning tool is asked which slots are free still; MAGDA, who is asked whether it is wanted again."""
OUTLIVES = frozenset(
    {TimerKind.CHECKOUT_POLL, TimerKind.PAYOUT_POLL, TimerKind.NOTIFY_END, TimerKind.EBOX_POLL}
    | {TimerKind.DEPOSIT_END}
    | {TimerKind.VALIDITY_REMINDER, TimerKind.VALIDITY_END, TimerKind.RENEWAL}
)
"""Money is followed to its end, and so is a letter, whatever became of the case; what was granted holds after
it."""
RENEWAL_TRIES = 3
"""On so many days MAGDA is tried, before somebody is asked with what is known of them."""
STANDS_STILL = timedelta(days=1)
"""How long a term that may not lapse now is put off: when it runs on, it gets its new day at once."""
_BEFORE_DECISION = frozenset({Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION})
"""The term is one to decide in: what follows a decision has terms of its own."""


class Deadlines:
    """Fires what is due. Any number of workers may do this at once.

    A timer that could not be fired is tried again later and later, and holds up no other. Those that ask
    another system first (`asking`) are watched apart: it may take its time.
    """

    def __init__(self, loket: Loket, *, asking: bool) -> None:
        self._loket = loket
        self._kinds = ASKING if asking else frozenset(TimerKind) - ASKING
        self._failed: dict[UUID, tuple[int, float]] = {}
        """How often it failed here, and from when on it is tried again (`time.monotonic`)."""

    async def fire_due(self) -> bool:
        """Fire what is due, oldest first; True when there may be more."""
        wait = [one for one, (_, again_at) in self._failed.items() if again_at > time.monotonic()]
        async with self._loket.database.transaction() as session:
            found = await session.scalars(
                select(col(Timer.id))
                .where(col(Timer.state) == TimerState.ARMED, col(Timer.due_at) <= func.now())
                .where(col(Timer.kind).in_(self._kinds), col(Timer.id).not_in(wait))
                .order_by(col(Timer.due_at))
                .limit(BATCH)
            )
            due = list(found)
        for timer_id in due:
            try:
                await fire(self._loket, timer_id)
            except Exception:
                failures = self._failed.get(timer_id, (0, 0.0))[0] + 1
                pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
                self._failed[timer_id] = failures, time.monotonic() + pause.total_seconds()
                logger.exception("timer %s could not be fired; again in %s", timer_id, pause)
            else:
                self._failed.pop(timer_id, None)
        return len(due) == BATCH


async def fire(loket: Loket, timer_id: UUID) -> bool:
    """Fire one timer; False when another worker has it, or it was cancelled meanwhile.

    Done once more where the database undid it for the sake of another.
    """
    async with loket.database.transaction() as session:
        ahead = await session.get(Timer, timer_id)
    heard = None
    if ahead is not None and ahead.case_id is not None:
        if ahead.kind is TimerKind.SLOT_END:
            await timetable.read_again(loket, ahead.case_id)
        if ahead.kind is TimerKind.RENEWAL:
            heard = await _look_who_is_asked(loket, ahead.case_id)

    async def act(work: Work) -> bool:
        work.now = await clock(work.session)
        return await fire_in(work, timer_id, heard)

    return await kept_whole(lambda: loket.work(the_system("Timer")), act)


async def _look_who_is_asked(loket: Loket, case_id: UUID) -> consultation.Consultation | None:
    """What the sources say of an applicant who may be asked again; None where nobody is."""
    async with loket.work(the_system("Timer")) as work:
        case = await cases.get(work, case_id)
        if not await renewals.is_due(work, case):
            return None
        person = await work.session.get_one(Person, case.person_id)
        await sources.want(work, person, case.procedure_key, case.id)
    return await consultation.consult(
        loket, the_system("Timer"), person.id, case.procedure_key, case_id=case.id
    )


async def fire_in(work: Work, timer_id: UUID, heard: consultation.Consultation | None = None) -> bool:
    """Fire one timer in this work; False as `fire`. `heard`: of a renewal, what the sources said before."""
    key = int.from_bytes(timer_id.bytes[-8:], "big", signed=True)
    if not await work.session.scalar(select(func.pg_try_advisory_xact_lock(key))):
        return False
    timer = await work.session.get(Timer, timer_id)
    if timer is None or timer.state is not TimerState.ARMED:
        return False
    # its subject first, then the timer: the order in which every verb locks them
    case = await cases.get(work, timer.case_id) if timer.case_id else None
    draft = None if case else await _draft(work, timer.subject_id)
    await work.session.refresh(timer, with_for_update={"key_share": True})
    if timer.state is not TimerState.ARMED:
        return False
    timer.state, timer.ended_at = TimerState.FIRED, work.now
    await work.session.flush()
    if draft is not None:
        await applications.end_draft(work, draft, PartAction.EXPIRE)
    elif timer.kind is TimerKind.LETTER_BATCH:
        await batches.make_all(work)
    elif timer.kind is TimerKind.RECONCILIATION:
        await reconciliation.daily(work)
    elif case is not None and timer.kind is TimerKind.RENEWAL:
        await _renewal(work, case, timer, heard)
    elif case is not None and (case.status not in FINAL or timer.kind in OUTLIVES):
        await ON_TIME[timer.kind](work, case, timer)
    return True


async def _answer(work: Work, case: Case, _: Timer) -> None:
    if case.status is Status.AWAITING_APPLICANT and not await information.is_of_another(work, case):
        await information.lapsed(work, case)


async def _answer_reminder(work: Work, case: Case, timer: Timer) -> None:
    await information.remind(work, case, timer.number)


async def _co_applicant_reminder(work: Work, case: Case, timer: Timer) -> None:
    await co_applicants.remind(work, case, timer.number)


async def _co_applicant_end(work: Work, case: Case, _: Timer) -> None:
    await co_applicants.lapse(work, case)


async def _term(work: Work, case: Case, timer: Timer) -> None:
    """The term lapsed: that is a fact with consequences, so it is an event, and a person's first task."""
    if cases.stands_still(case):
        await work.arm(timer.kind, work.now + STANDS_STILL, case=case)
        return
    if not case.overdue and case.stage in _BEFORE_DECISION:
        case.overdue = True
        await cases.advance(work, case, Action.LAPSE_TERM)
        await cases.open_task(work, case, "TERM_LAPSED")


async def _term_alarm(work: Work, case: Case, timer: Timer) -> None:
    if cases.stands_still(case):
        await work.arm(timer.kind, work.now + STANDS_STILL, case=case)
        return
    if case.stage not in _BEFORE_DECISION:
        return
    await cases.open_task(work, case, "TERM_ALARM", {"due_on": case.due_on.isoformat()})


async def _payment_reminder(work: Work, case: Case, timer: Timer) -> None:
    await dunning.remind(work, case, timer.number)


async def _default_notice(work: Work, case: Case, _: Timer) -> None:
    await dunning.give_notice(work, case)


async def _payment_end(work: Work, case: Case, _: Timer) -> None:
    await dunning.end_unpaid(work, case)


async def _checkout_poll(work: Work, _: Case, timer: Timer) -> None:
    await payments.poll(work, timer.subject_id, timer.number)


async def _slot_reminder(work: Work, case: Case, _: Timer) -> None:
    await deliveries.remind(work, case)


async def _slot_end(work: Work, case: Case, _: Timer) -> None:
    await deliveries.plan_by_itself(work, case)


async def _hold_end(work: Work, _: Case, timer: Timer) -> None:
    await places.let_go(work, timer.subject_id)


async def _unconfirmed(work: Work, case: Case, _: Timer) -> None:
    await cases.open_task(work, case, "DELIVERY_UNCONFIRMED")


async def _payout_poll(work: Work, _: Case, timer: Timer) -> None:
    await payout_facts.poll(work, timer.subject_id, timer.number)


async def _minutes_poll(work: Work, case: Case, _: Timer) -> None:
    await agenda.poll(work, case)


async def _successor_end(work: Work, case: Case, _: Timer) -> None:
    await agenda.no_successor(work, case)


async def _notify_end(work: Work, case: Case, _: Timer) -> None:
    await letters.late(work, case)


async def _ebox_poll(work: Work, case: Case, timer: Timer) -> None:
    await letters.poll(work, case, timer.subject_id, timer.number)


async def _advice_reminder(work: Work, case: Case, timer: Timer) -> None:
    await advice.remind(work, case, timer.subject_id, timer.number)


async def _advice_end(work: Work, case: Case, timer: Timer) -> None:
    await advice.lapse(work, case, timer.subject_id)


async def _payout_end(work: Work, case: Case, _: Timer) -> None:
    await payouts.late(work, case)


async def _validity_reminder(work: Work, case: Case, timer: Timer) -> None:
    await validity.remind(work, case, timer.number)


async def _validity_end(work: Work, case: Case, _: Timer) -> None:
    await validity.lapse(work, case)


async def _renewal(work: Work, case: Case, timer: Timer, heard: consultation.Consultation | None) -> None:
    """Ask whether it is wanted again; another day where nobody knows how the applicant is."""
    if heard is not None and heard.unavailable is not None and timer.number < RENEWAL_TRIES:
        await work.arm(timer.kind, work.now + STANDS_STILL, case=case, number=timer.number + 1)
    else:
        await renewals.offer(work, case, heard.answers if heard else None)
    if case.status in FINAL:
        await sources.let_go(work, case.person_id, case.procedure_key, case.id)


async def _deposit_end(work: Work, case: Case, _: Timer) -> None:
    await deposits.ask(work, case)


async def _draft(work: Work, application_id: UUID) -> Application | None:
    application = await work.session.get(Application, application_id, with_for_update={"key_share": True})
    return application if application and application.status is ApplicationStatus.DRAFT else None


async def _apart(_work: Work, _case: Case, _timer: Timer) -> None:
    """Of a draft, a renewal, the day's batch and the day's reconciliation: `fire_in` sees to them."""


ON_TIME: dict[TimerKind, Callable[[Work, Case, Timer], Awaitable[None]]] = {
    TimerKind.ANSWER: _answer,
    TimerKind.ANSWER_REMINDER: _answer_reminder,
    TimerKind.CO_APPLICANT_REMINDER: _co_applicant_reminder,
    TimerKind.CO_APPLICANT_END: _co_applicant_end,
    TimerKind.TERM: _term,
    TimerKind.TERM_ALARM: _term_alarm,
    TimerKind.ADVICE_REMINDER: _advice_reminder,
    TimerKind.ADVICE_END: _advice_end,
    TimerKind.PAYMENT_REMINDER: _payment_reminder,
    TimerKind.DEFAULT_NOTICE: _default_notice,
    TimerKind.PAYMENT_END: _payment_end,
    TimerKind.CHECKOUT_POLL: _checkout_poll,
    TimerKind.SLOT_REMINDER: _slot_reminder,
    TimerKind.SLOT_END: _slot_end,
    TimerKind.HOLD_END: _hold_end,
    TimerKind.DELIVERY_UNCONFIRMED: _unconfirmed,
    TimerKind.PAYOUT_POLL: _payout_poll,
    TimerKind.PAYOUT_END: _payout_end,
    TimerKind.MINUTES_POLL: _minutes_poll,
    TimerKind.SUCCESSOR_END: _successor_end,
    TimerKind.NOTIFY_END: _notify_end,
    TimerKind.EBOX_POLL: _ebox_poll,
    TimerKind.DEPOSIT_END: _deposit_end,
    TimerKind.VALIDITY_REMINDER: _validity_reminder,
    TimerKind.VALIDITY_END: _validity_end,
    TimerKind.RENEWAL: _apart,
    TimerKind.DRAFT_END: _apart,
    TimerKind.LETTER_BATCH: _apart,
    TimerKind.RECONCILIATION: _apart,
}
