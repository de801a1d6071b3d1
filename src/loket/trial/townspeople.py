"""Whose turn it is when a case is tried dry, and what they say: staff, bodies, banks, the applicant.

What each says stands in the facts of the case file; every word goes through the verb that a door would call.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import col

from loket import (
    advice,
    co_applicants,
    decisions,
    deliveries,
    invoices,
    payout_book,
    payouts,
    proposals,
    screening,
    sittings,
)
from loket.advice import Opinion
from loket.assessment import AWAITED
from loket.errors import Refused
from loket.facts import facts_of
from loket.hearsay import Heard, Signatory
from loket.lifecycle import DecisionStatus, PartAction, PayoutStatus, Status, TaskStatus
from loket.proposals import GRANTING, Doubt, Wish
from loket.records import (
    ActorKind,
    AdviserKind,
    AgendaItem,
    Case,
    Decision,
    Task,
)
from loket.systems.minutes_item import Outcome as Result
from loket.terms import morning_of
from loket.trial import deeds
from loket.trial.casefile import CaseFile
from loket.trial.deeds import FACT, Verb
from loket.trial.strawman import Straw
from loket.work import Actor, Work, the_system

_SOON = timedelta(days=1)
_LATER = timedelta(days=2)
_WORDS = "Proefdossier: het orgaan oordeelt anders."
_SIGNING = (("De voorzitter (proef)", "voorzitter"), ("De directeur (proef)", "algemeen directeur"))


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
                return Act(self.straw.citizen, deeds.choose)
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
                return Act(self.straw.handler, deeds.inadmissible)
            case "WAIT":
                return Silence()

    async def _confirmed(self, case: Case) -> Act | Silence:
        asked = await co_applicants.open_of(self.work, case)
        word = self.case_file.facts.co_applicant
        if asked is None or word in ("LAPSED", "WAIT"):
            return Silence(asked is not None and word == "LAPSED")
        them = Actor(ActorKind.CITIZEN, "Medeaanvrager (proef)", self.straw.citizen.roles, id=asked.person_id)
        return Act(them, deeds.confirming(asked.id) if word == "CONFIRMED" else deeds.refusing(asked.id))

    async def _advised(self, case: Case) -> Act | Silence:
        asked = [one for one in await advice.of(self.work, case) if one.status in AWAITED]
        said = self.case_file.facts.advices
        for one in asked:
            word = said.get(one.adviser, "POSITIVE")
            if one.kind is not AdviserKind.MACHINE and word != "NO_REACTION":
                return Act(self.straw.adviser, deeds.advising(one, Opinion(word)), _LATER)
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
                return Act(self.straw.handler, deeds.send, timedelta(0))
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
            return Wish(outcome=goal, legal=legal, fact=FACT)
        asked = [one for one in work.definition(case).benefits if deeds.claimed(case, one.key)]
        if len(asked) < 2:
            return Wish(goal, amount=deeds.worth(work, case, asked, Decimal(2)), legal=legal, fact=FACT)
        kept, last = asked[:-1], {asked[-1].key: False}
        return Wish(
            goal,
            amount=deeds.worth(work, case, kept),
            benefits={one.key: True for one in kept} | last,
            legal=legal,
            fact=FACT,
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
        await deeds.put_on_agenda(work, item.id, successor_of=item.item_uid or "")

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
                return Act(the_system("Betaalmodule"), deeds.paying_online(invoice_id, amount))
            case "PART" if "part" not in self._done:
                self._done.add("part")
                half = (amount / 2).quantize(Decimal("0.01"))
                return Act(the_system("Boekhouding"), deeds.transferring(invoice_id, half))
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
            deeds.missing(delivery.id) if missed else deeds.handing(delivery.id),
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
                return Act(by, deeds.approving(payout.id))
            case PayoutStatus.SENT:
                action = PartAction.REJECT if word == "REJECTED" else PartAction.EXECUTE
                return Act(the_system("Boekhouding"), deeds.banking(payout.id, action), _LATER)
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
        return Act(the_system("Boekhouding"), deeds.banking(payout.id, PartAction.RETURN), _LATER)
