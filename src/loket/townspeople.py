"""Whose turn it is when a case is tried dry, and what they say: staff, bodies, banks, the applicant.

What each says stands in the facts of the case file; every word goes through the verb that a door would call.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col
from uuid_utils.compat import uuid7

from loket import (
    advice,
    agenda,
    co_applicants,
    decisions,
    deliveries,
    handovers,
    invoices,
    payments,
    payout_book,
    payout_facts,
    payouts,
    places,
    proposals,
    screening,
    sittings,
)
from loket.advice import Opinion, Words
from loket.assessment import AWAITED
from loket.casefile import CaseFile
from loket.definition import Benefit
from loket.errors import Refused
from loket.facts import facts_of
from loket.hearsay import Heard, Signatory
from loket.lifecycle import DecisionStatus, PartAction, PayoutStatus, Status, TaskStatus
from loket.payout_facts import Fact
from loket.proposals import GRANTING, Doubt, Wish
from loket.records import (
    ActorKind,
    Advice,
    AdviserKind,
    AgendaItem,
    Case,
    Decision,
    PaymentMethod,
    Task,
)
from loket.strawman import Straw
from loket.systems.minutes_item import Outcome as Result
from loket.systems.payments import CheckoutState, CheckoutStatus
from loket.terms import BRUSSELS, is_working_day, morning_of
from loket.work import Actor, Work, the_system

_SOON = timedelta(days=1)
_LATER = timedelta(days=2)
_SITTING_DAYS = 7
_FACT = "Proefdossier: dit werd nagekeken."
_WORDS = "Proefdossier: het orgaan oordeelt anders."
_SIGNING = (("De voorzitter (proef)", "voorzitter"), ("De directeur (proef)", "algemeen directeur"))

Verb = Callable[[Work, Case], Awaitable[object]]


@dataclass(frozen=True)
class Act:
    """What somebody does next. `at`: when, at the earliest."""

    by: Actor
    do: Verb
    after: timedelta = _SOON
    at: datetime | None = None


@dataclass(frozen=True)
class Silence:
    """Nobody does anything. `by_fact`: because a fact says so."""

    by_fact: bool = False


@dataclass
class Townspeople:
    """Everybody around one case."""

    work: Work
    case_file: CaseFile
    straw: Straw
    _done: set[str] = field(default_factory=set)
    """What is said once alone."""

    async def next(self, case: Case) -> Act | Silence:
        facts = self.case_file.facts
        match case.status:
            case Status.SCREENING:
                return await self._screened(case)
            case Status.AWAITING_APPLICANT:
                return await self._confirmed(case)
            case Status.AWAITING_ADVICE:
                return await self._advised(case)
            case Status.ASSESSMENT if not await self._tasks(case):
                return Silence()
            case Status.ASSESSMENT | Status.AWAITING_DECISION:
                return await self._decided(case)
            case Status.AWAITING_PAYMENT:
                return await self._paid(case)
            case Status.AWAITING_SLOT if facts.slot == "CHOSEN":
                return Act(self.straw.citizen, _choose)
            case Status.AWAITING_SLOT:
                return Silence(facts.slot == "NOT_CHOSEN")
            case Status.AWAITING_DELIVERY:
                return await self._delivered(case)
            case Status.AWAITING_PAYOUT:
                return await self._paid_out(case)
            case _:
                return Silence()

    async def _tasks(self, case: Case) -> set[str]:
        found = await self.work.session.scalars(
            select(col(Task.kind)).where(col(Task.case_id) == case.id, col(Task.status) == TaskStatus.OPEN)
        )
        return set(found)

    async def _screened(self, case: Case) -> Act | Silence:
        if not await self._tasks(case):
            return Silence()
        match self.case_file.facts.admissible:
            case "YES":
                return Act(self.straw.handler, screening.declare_admissible)
            case "NO":
                return Act(self.straw.handler, _inadmissible)
            case "WAIT":
                return Silence()

    async def _confirmed(self, case: Case) -> Act | Silence:
        asked = await co_applicants.open_of(self.work, case)
        word = self.case_file.facts.co_applicant
        if asked is None or word in ("LAPSED", "WAIT"):
            return Silence(asked is not None and word == "LAPSED")
        them = Actor(ActorKind.CITIZEN, "Medeaanvrager (proef)", self.straw.citizen.roles, id=asked.person_id)
        return Act(them, _confirming(asked.id) if word == "CONFIRMED" else _refusing(asked.id))

    async def _advised(self, case: Case) -> Act | Silence:
        asked = [one for one in await advice.of(self.work, case) if one.status in AWAITED]
        said = self.case_file.facts.advices
        for one in asked:
            word = said.get(one.adviser, "POSITIVE")
            if one.kind is not AdviserKind.MACHINE and word != "NO_REACTION":
                return Act(self.straw.adviser, _advising(one, Opinion(word)), _LATER)
        return Silence(by_fact=any(said.get(one.adviser) == "NO_REACTION" for one in asked))

    # --- deciding -----------------------------------------------------------------------------

    async def _decided(self, case: Case) -> Act | Silence:
        if self.case_file.facts.decision == "WAIT":
            return Silence()
        decision = await decisions.of(self.work, case)
        rules = self.work.definition(case).decision
        body = rules is not None and rules.body is not None
        if decision is None or decision.status is DecisionStatus.WITHDRAWN:
            again = "prepared" in self._done  # sources and checks were asked anew, and have answered by now
            return Act(self.straw.handler, self._prepare, timedelta(hours=1) if again else _SOON)
        match decision.status:
            case DecisionStatus.DRAFT if not body:
                return Act(self.straw.handler, self._take, timedelta(0))
            case DecisionStatus.DRAFT if not decisions.is_away(decision):
                return Act(self.straw.handler, _send, timedelta(0))
            case DecisionStatus.DRAFT | DecisionStatus.ON_AGENDA:
                item = await self.work.session.get_one(AgendaItem, decision.agenda_item_id)
                sits_at = morning_of(item.meeting_on or self.work.today) + timedelta(hours=6)
                return Act(the_system("Notulering"), self._sit, at=sits_at)
            case DecisionStatus.POSTPONED:
                return Act(the_system("Notulering"), self._come_back)
            case DecisionStatus.TO_CONFIRM:
                return Act(self.straw.handler, self._confirm)
            case _:
                return Silence()

    async def _prepare(self, work: Work, case: Case) -> None:
        """As the rules say, or as is wished; where they leave it to a person, it is granted."""
        self._done.add("prepared")
        try:
            by_rule = proposals.propose(work, case, await facts_of(work, case)).outcome
        except (Doubt, Refused):
            by_rule = None
        goal = self._goal(case, work, by_rule)
        await decisions.prepare(work, case, Wish() if goal is by_rule else self._wish(work, case, goal))

    def _goal(self, case: Case, work: Work, by_rule: DecisionStatus | None) -> DecisionStatus:
        rules = work.definition(case).decision
        body = rules is not None and rules.body is not None
        match self.case_file.facts.decision:
            case "GRANTED":
                return DecisionStatus.GRANTED
            case "REFUSED" if not body:
                return DecisionStatus.REFUSED
            case "PARTLY" if not body:
                return DecisionStatus.PARTLY_GRANTED
            case _:
                return by_rule or DecisionStatus.GRANTED

    def _wish(self, work: Work, case: Case, goal: DecisionStatus) -> Wish:
        legal = "; ".join(one.nl for one in work.definition(case).legal_basis)
        if goal is not DecisionStatus.PARTLY_GRANTED:
            return Wish(outcome=goal, legal=legal, fact=_FACT)
        asked = [one for one in work.definition(case).benefits if _claimed(case, one.key)]
        if len(asked) < 2:
            return Wish(goal, amount=_worth(work, case, asked, Decimal(2)), legal=legal, fact=_FACT)
        kept, last = asked[:-1], {asked[-1].key: False}
        return Wish(
            goal,
            amount=_worth(work, case, kept),
            benefits={one.key: True for one in kept} | last,
            legal=legal,
            fact=_FACT,
        )

    async def _take(self, work: Work, case: Case) -> None:
        decision = await decisions.of(work, case)
        assert decision is not None
        granted = decision.proposal in GRANTING
        legal, fact = ("", "") if granted else (decision.motivation_legal, decision.motivation_factual)
        await decisions.take(work, case, granted=granted, legal=legal, fact=fact)

    async def _come_back(self, work: Work, case: Case) -> None:
        decision = await decisions.of(work, case)
        assert decision is not None
        assert decision.agenda_item_id is not None
        item = await work.session.get_one(AgendaItem, decision.agenda_item_id)
        await put_on_agenda(work, item.id, successor_of=item.item_uid or "")

    async def _sit(self, work: Work, case: Case) -> None:
        """The body sits, and decides; two sign."""
        decision = await decisions.of(work, case)
        assert decision is not None
        assert decision.agenda_item_id is not None
        result = self._result(decision)
        item = await work.session.get_one(AgendaItem, decision.agenda_item_id)
        signed = () if result is Result.POSTPONED else _SIGNING
        facts = Heard(
            result,
            meeting_on=item.meeting_on,
            item_uid=item.item_uid,
            signatories=tuple(Signatory(name, function, work.today) for name, function in signed),
            text=_WORDS if result in (Result.REFUSED, Result.MODIFIED) else "",
        )
        await sittings.heard(work, decision.agenda_item_id, facts)

    def _result(self, decision: Decision) -> Result:
        match self.case_file.facts.decision:
            case "POSTPONED" if "postponed" not in self._done:
                self._done.add("postponed")
                return Result.POSTPONED
            case "REFUSED" if decision.proposal is not DecisionStatus.REFUSED:
                return Result.REFUSED
            case "PARTLY" if decision.proposal is not DecisionStatus.PARTLY_GRANTED:
                return Result.MODIFIED
            case _:
                return Result.ACCEPTED

    async def _confirm(self, work: Work, case: Case) -> None:
        await decisions.confirm(work, case, self._wish(work, case, DecisionStatus.PARTLY_GRANTED))

    # --- money and goods ----------------------------------------------------------------------

    async def _paid(self, case: Case) -> Act | Silence:
        invoice = await invoices.live(self.work, case)
        assert invoice is not None
        invoice_id, amount = invoice.id, invoices.outstanding(invoice)
        match self.case_file.facts.payment:
            case "PAID":
                return Act(the_system("Betaalmodule"), _paying_online(invoice_id, amount))
            case "PART" if "part" not in self._done:
                self._done.add("part")
                half = (amount / 2).quantize(Decimal("0.01"))
                return Act(the_system("Boekhouding"), _transferring(invoice_id, half))
            case word:
                return Silence(word != "WAIT")

    async def _delivered(self, case: Case) -> Act | Silence:
        delivery = await deliveries.of(self.work, case)
        word = self.case_file.facts.delivery
        if word == "WAIT" or delivery is None or delivery.ends_at is None:
            return Silence()
        missed = word == "MISSED" and "missed" not in self._done
        self._done.add("missed")
        return Act(
            the_system("Planning"),
            _missing(delivery.id) if missed else _handing(delivery.id),
            at=delivery.ends_at,
        )

    async def _paid_out(self, case: Case) -> Act | Silence:
        word = self.case_file.facts.payout
        if word == "WAIT":
            return Silence()
        payout = await payout_book.live(self.work, case)
        if payout is None:
            return Act(self.straw.handler, payouts.order)
        needs_visum = payout_book.rules(self.work, case).visum and payout.visum_by_id is None
        match payout.status:
            case PayoutStatus.ORDERED:
                by = self.straw.director if needs_visum else self.straw.approver
                return Act(by, _approving(payout.id))
            case PayoutStatus.SENT:
                action = PartAction.REJECT if word == "REJECTED" else PartAction.EXECUTE
                return Act(the_system("Boekhouding"), _banking(payout.id, action), _LATER)
            case _:
                return Silence()

    async def after_the_end(self, case: Case) -> Act | None:
        """What somebody still does once the case has ended."""
        if self.case_file.facts.payout != "RETURNED" or "returned" in self._done:
            return None
        self._done.add("returned")
        payout = await payout_book.live(self.work, case)
        if payout is None or payout.status is not PayoutStatus.EXECUTED:
            return None
        return Act(the_system("Boekhouding"), _banking(payout.id, PartAction.RETURN), _LATER)


# --- words ------------------------------------------------------------------------------------


async def put_on_agenda(work: Work, item_id: UUID, *, successor_of: str = "") -> None:
    """The minutes system puts an item on the agenda of a meeting in a week."""
    day = work.today + timedelta(days=_SITTING_DAYS)
    while not is_working_day(day):
        day += timedelta(days=1)
    facts = Heard(
        Result.OPEN,
        meeting_on=day,
        meeting_uid=f"proef-{day}",
        item_uid=f"proef-{item_id}{'-bis' if successor_of else ''}",
        successor_of=(successor_of,) if successor_of else (),
        state="itemfrozen",
    )
    await sittings.heard(work, item_id, facts)


async def _inadmissible(work: Work, case: Case) -> None:
    legal = "; ".join(one.nl for one in work.definition(case).legal_basis)
    await screening.declare_inadmissible(work, case, legal=legal, fact=_FACT, message=_FACT)


def _confirming(asked_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await co_applicants.confirm(work, asked_id)

    return do


def _refusing(asked_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await co_applicants.refuse(work, asked_id, _FACT)

    return do


def _advising(asked: Advice, opinion: Opinion) -> Verb:
    advice_id = asked.id

    async def do(work: Work, case: Case) -> None:
        one = await advice.behind(work, case, advice_id)
        words = Words(opinion, _FACT, _FACT if opinion is Opinion.CONDITIONAL else "", name=work.actor.name)
        await advice.give(work, case, one, words)

    return do


async def _send(work: Work, case: Case) -> None:
    await agenda.send(work, [(case, await agenda.ready(work, case))])


def _claimed(case: Case, benefit: str) -> bool:
    return benefit in (case.facts.get("claims") or {})


def _worth(
    work: Work, case: Case, benefits: Sequence[Benefit], shared_by: Decimal = Decimal(1)
) -> Decimal | None:
    """What these benefits are by the definition, in EUR; None where there are none."""
    day = work.definition(case).reference_day(case.submitted_at.astimezone(BRUSSELS).date())
    amounts = [found for one in benefits if (found := proposals.amount_on(one, day)) is not None]
    return (sum(amounts, Decimal(0)) / shared_by).quantize(Decimal("0.01")) if amounts else None


def _paying_online(invoice_id: UUID, amount: Decimal) -> Verb:
    async def do(work: Work, _: Case) -> None:
        order = await payments.start(work, invoice_id)
        state = CheckoutState(CheckoutStatus.CAPTURED, f"proef-{uuid7()}", amount, "CAPTURED")
        await payments.heard(work, order.payment_id, state)

    return do


def _transferring(invoice_id: UUID, amount: Decimal) -> Verb:
    async def do(work: Work, _: Case) -> None:
        invoice = await invoices.get_locked(work, invoice_id)
        name = f"proef-{uuid7()}"
        received = payments.Received(
            payments.ACCOUNTING, name, amount, PaymentMethod.TRANSFER, work.today, work.actor.name
        )
        await payments.register(work, invoice, received)

    return do


async def _choose(work: Work, case: Case) -> None:
    slots = await places.free_slots(work, case, 1)
    if slots:
        await deliveries.book(work, case, slots[0].id)
    else:
        await deliveries.plan_by_itself(work.as_actor(the_system()), case)


def _handing(delivery_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await handovers.delivered(work, delivery_id, work.now, "Chauffeur (proef)")

    return do


def _missing(delivery_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await handovers.missed(work, delivery_id, "Er was niemand thuis (proef).")

    return do


def _approving(payout_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        case, payout = await payout_book.get_locked(work, payout_id)
        await payouts.approve(work, case, payout)

    return do


def _banking(payout_id: UUID, action: PartAction) -> Verb:
    failed = action in (PartAction.REJECT, PartAction.RETURN)

    async def do(work: Work, _: Case) -> None:
        fact = Fact(action, on=work.today, code="AC04" if failed else "", reason="proef" if failed else "")
        await payout_facts.heard(work, payout_id, fact)

    return do
