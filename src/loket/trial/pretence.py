"""A case that is tried dry goes its way: other systems answer, deadlines come, people act.

Nothing is decided here that Loket decides: it calls the verbs that doors, workers and timers would call.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import checks, effects, letters, payout_facts, places, refunds, stages, timers
from loket.checks import Finding
from loket.consultation import Consultation
from loket.errors import ManyRefused, Refused
from loket.lifecycle import FINAL, PartAction, Status, TimerKind
from loket.payout_facts import Fact
from loket.records import (
    Case,
    Effect,
    EffectKind,
    EffectState,
    Timer,
    TimerState,
)
from loket.rules import Outcome
from loket.systems.payments import RefundState, RefundStatus
from loket.trial import deeds, strawman
from loket.trial.townspeople import Act, Silence, Townspeople
from loket.work import Work, the_system

_OFFERED_DAYS = 14
"""After the first day on which a van may come: a good weekday is among them."""
MOST_ACTS = 200
"""Things that happen in one trial; with more it goes in circles."""
POLLS = frozenset(
    {
        TimerKind.CHECKOUT_POLL,
        TimerKind.MINUTES_POLL,
        TimerKind.PAYOUT_POLL,
        TimerKind.EBOX_POLL,
        TimerKind.LETTER_BATCH,
        TimerKind.RECONCILIATION,
    }
)
"""Deadlines of our own machinery: what they ask is said here unasked."""
_SOON = timedelta(days=1)
_LATER = timedelta(days=2)
_SITTING_DAYS = 7
_FACT = "Proefdossier: dit werd nagekeken."
_WORDS = "Proefdossier: het orgaan oordeelt anders."

Verb = Callable[[Work, Case], Awaitable[object]]


@dataclass
class Pretence:
    """One trial: a case, and everybody around it."""

    work: Work
    people: Townspeople
    case_id: UUID
    noticed: Callable[[datetime], None]
    """Told after each thing that happened."""
    stopped: str = ""
    """Why it could not go on: what was wished was refused."""

    async def play(self) -> None:
        """On to the end of the case, or to where the facts say nothing more."""
        for _ in range(MOST_ACTS):
            await self._carry_out()
            case = await self._case()
            if case.status in FINAL:
                if not await self._after_the_end(case):
                    return
                continue
            turn = await self.people.next(case)
            if isinstance(turn, Act):
                at = max(turn.at or self.work.now + turn.after, self.work.now)
                if not await self._pass(until=at) and not await self._act(turn, at):
                    return
            elif not (self._time_passes(turn) and await self._pass()):
                return
        self.stopped = f"more than {MOST_ACTS} things happened"

    async def settled(self, do: Callable[[], Awaitable[object]]) -> None:
        """What `do` does and all that follows from it, as one transaction of its own would."""
        async with self.work.session.begin_nested():
            await do()
            await stages.settle(self.work)
        await self.work.session.flush()
        self.work.session.expunge_all()
        self.noticed(self.work.now)

    async def _act(self, act: Act, at: datetime) -> bool:
        self.work.now = at
        await self._offer_slots()
        acting = self.work.as_actor(act.by)

        async def do() -> None:
            await act.do(acting, await self._case())

        try:
            await self.settled(do)
        except (Refused, ManyRefused) as refusal:
            self.work.entered.clear()
            self.work.happened.clear()
            self.work.session.expunge_all()
            self.stopped = str(refusal)
            return False
        return True

    async def _case(self) -> Case:
        return await self.work.session.get_one(Case, self.case_id, populate_existing=True)

    # --- time ---------------------------------------------------------------------------------

    def _time_passes(self, silence: Silence) -> bool:
        wanted = self.people.case_file.facts.deadlines
        return wanted == "PASS" or (wanted is None and silence.by_fact)

    async def _pass(self, *, until: datetime | None = None) -> bool:
        """Let the next deadline come (one before `until`); False where there is none."""
        timer = await self._next_deadline(until)
        if timer is None:
            return False
        timer_id = timer.id
        self.work.now = max(self.work.now, timer.due_at)
        await self._offer_slots()
        ticking = self.work.as_actor(the_system("Timer"))
        answers = strawman.told(self.work, self.people.case_file, self.people.straw)
        heard = Consultation(answers, "ANSWERED", "")
        await self.settled(partial(timers.fire_in, ticking, timer_id, heard))
        return True

    async def _next_deadline(self, until: datetime | None) -> Timer | None:
        wanted = (
            select(Timer)
            .where(
                col(Timer.case_id) == self.case_id,
                col(Timer.state) == TimerState.ARMED,
                col(Timer.kind).not_in(POLLS),
            )
            .order_by(col(Timer.due_at), col(Timer.kind))
            .limit(1)
        )
        if until is not None:
            wanted = wanted.where(col(Timer.due_at) <= until)
        found = await self.work.session.scalars(wanted)
        return found.one_or_none()

    async def _offer_slots(self) -> None:
        """What the planning tool has on offer, as it is asked before anybody chooses."""
        case = await self._case()
        if case.status is Status.AWAITING_SLOT and not await places.free_slots(self.work, case, 1):
            rules = places.rules(self.work, case)
            days = min(rules.horizon_days, rules.lead_days + _OFFERED_DAYS)
            await places.refresh(self.work, strawman.offers(self.work.today, days))

    # --- other systems ------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        """What was left for other systems is heard by them, oldest first; some answer."""
        for _ in range(MOST_ACTS):
            found = await self.work.session.scalars(
                select(Effect)
                .where(col(Effect.state) == EffectState.PENDING)
                .order_by(col(Effect.seq))
                .limit(1)
            )
            effect = found.one_or_none()
            if effect is None:
                return
            effect.state, effect.done_at = EffectState.DONE, self.work.now
            hear = _HEARD.get(effect.kind)
            if hear is None:
                await self.work.session.flush()
            else:
                await self.settled(partial(hear, self, self.work.as_actor(the_system()), effect))

    async def _sources(self, work: Work, effect: Effect) -> None:
        case = await self._case()
        if self.people.case_file.facts.sources == "DOWN":
            await effects.GIVEN_UP[EffectKind.MAGDA_CHECK](work, case, effect)
            return
        answers = strawman.told(work, self.people.case_file, self.people.straw)
        await effects.sources_told(work, case.id, answers, "ANSWERED", "")

    async def _check(self, work: Work, effect: Effect) -> None:
        case = await self._case()
        key, round = effect.payload["check"], effect.payload["round"]
        word = self.people.case_file.facts.checks.get(key, "MET")
        if word == "UNKNOWN":
            await effects.GIVEN_UP[EffectKind.CHECK_ASK](work, case, effect)
            return
        child = (
            work.vault.index("insz", self.people.straw.children[0][0]) if self.people.straw.children else None
        )
        await checks.answered(work, case, key, round, Finding(Outcome(word), word, subject_index=child))

    async def _refund(self, work: Work, effect: Effect) -> None:
        state = RefundState(f"proef-{effect.id}", RefundStatus.DONE, None, "REFUNDED")
        await refunds.heard(work, UUID(effect.payload["refund_id"]), state)

    async def _letter(self, work: Work, effect: Effect) -> None:
        await letters.paper_made(work, UUID(effect.payload["letter_id"]), "brief.pdf", b"%PDF-1.7")

    async def _ebox(self, work: Work, effect: Effect) -> None:
        letter_id = UUID(effect.payload["letter_id"])
        await letters.taken_by_ebox(work, letter_id, f"proef-{letter_id}")
        await letters.arrived_in_ebox(work, letter_id, work.now)

    async def _on_agenda(self, work: Work, effect: Effect) -> None:
        await deeds.put_on_agenda(work, UUID(effect.payload["item_id"]))

    async def _ordered(self, work: Work, effect: Effect) -> None:
        await payout_facts.heard(work, UUID(effect.payload["payout_id"]), Fact(PartAction.SEND))

    async def _recalled(self, work: Work, effect: Effect) -> None:
        await payout_facts.recalled(work, UUID(effect.payload["payout_id"]))

    async def _after_the_end(self, case: Case) -> bool:
        """What goes on still; False when nothing does."""
        act = await self.people.after_the_end(case)
        if act is not None:
            return await self._act(act, self.work.now + act.after)
        if self.people.case_file.facts.deadlines != "PASS":
            return False
        timer = await self._next_deadline(None)
        return timer is not None and timer.kind in timers.OUTLIVES and await self._pass()


_HEARD: dict[EffectKind, Callable[[Pretence, Work, Effect], Awaitable[None]]] = {
    EffectKind.MAGDA_CHECK: Pretence._sources,  # noqa: SLF001  # a table of our own
    EffectKind.CHECK_ASK: Pretence._check,  # noqa: SLF001  # as above
    EffectKind.PAYMENT_REFUND: Pretence._refund,  # noqa: SLF001  # as above
    EffectKind.LETTER_PDF: Pretence._letter,  # noqa: SLF001  # as above
    EffectKind.LETTER_EBOX: Pretence._ebox,  # noqa: SLF001  # as above
    EffectKind.MINUTES_CREATE: Pretence._on_agenda,  # noqa: SLF001  # as above
    EffectKind.PAYOUT_SEND: Pretence._ordered,  # noqa: SLF001  # as above
    EffectKind.PAYOUT_RECALL: Pretence._recalled,  # noqa: SLF001  # as above
}
"""Where a system answers what matters to the case; the others have heard, and that is all."""
