"""One case on its way through any procedure: look whose turn it is, and let them do what they would.

Whose turn it is, the public API tells: the status, the open tasks, what was asked of whom. Nothing here knows
a procedure; what is peculiar to one stands in its definition.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

from loket.walk import companion, offices, turn_queries
from loket.walk.citizen import PDF, Citizen, WalkFailed
from loket.walk.client import Refused
from loket.walk.known import Known
from loket.walk.promises import Promises
from loket.walk.road import by_link, post_letters
from loket.walk.scene import LONG_SECONDS, Scene
from loket.walk.staff import Servant
from loket.walk.van import agreed_slot, drive

Json = dict[str, Any]

FINAL = ("INADMISSIBLE", "REJECTED", "COMPLETED", "WITHDRAWN", "CANCELLED")
AWAITED = ("REQUESTED", "REMINDED")
OF_SCREENING = {"REFERRED", "SOURCES_UNKNOWN", "ANSWER_LAPSED"}
REASON = "Na onderzoek van de aanvraag is niet aan de voorwaarden voldaan."
BASIS = "Het reglement, artikel 2."


@dataclass(frozen=True)
class Way:
    """What goes otherwise than straight on."""

    admits: bool = True
    """Whether the handler finds it admissible."""
    grants: bool = True
    """Whether it is granted, where a person or a body decides."""
    pays: bool = True
    """Whether the citizen pays."""
    silent: str = ""
    """The adviser who says nothing."""
    misses: int = 0
    """How often the van comes in vain."""
    withdraws_at: tuple[str, ...] = ()
    """At which status the citizen thinks better of it."""
    free: bool = False
    """Whether the citizen asks what makes it free of charge."""
    answers: str = "CONFIRM"
    """What a co-applicant does: CONFIRM, REFUSE, or nothing."""


Turn = tuple[str, Callable[[Json], Awaitable[None]]]
"""Whose turn it is is told by a name that serves once, and by what they do."""


@dataclass
class Journey:
    """A case, and what became of it so far."""

    scene: Scene
    citizen: Citizen
    promises: Promises
    known: Known
    way: Way
    cart: list[Json] = field(default_factory=list)
    """What is ordered."""
    done: set[str] = field(default_factory=set)
    """Turns that were taken: who did their part waits for what comes of it."""
    agenda: list[str] = field(default_factory=list)
    payouts: list[tuple[str, Decimal]] = field(default_factory=list)
    costs: list[Decimal] = field(default_factory=list)
    """Of the reminders, in EUR."""
    entries: list[tuple[str, Decimal]] = field(default_factory=list)
    """What accounting must have booked for what was done afterwards."""
    stays_registered: bool = False
    """Whether something of the citizen goes on, of which MAGDA keeps us informed."""
    missed: int = 0
    """How often the van came in vain."""
    companion: str = ""
    """Persona of who applies with them."""

    @property
    def case_id(self) -> str:
        return str(self.citizen.case["id"])

    @property
    def definition(self) -> Json:
        return self.promises.definition

    async def find_companion(self) -> None:
        """Somebody applies with them: another citizen of the sandbox."""
        outside = self.scene.place.outside
        self.companion = self.known.companion or f"burger-{self.scene.number()}"
        token = await outside.token(self.companion)
        self.citizen.companion = await outside.national_number(token)

    async def walk_on(self) -> Json:
        """Until the case has ended; the case then."""
        while True:
            state = await self.look()
            if state["status"] in FINAL:
                return state
            if state["status"] in self.way.withdraws_at and "withdraw" not in self.done:
                self.done.add("withdraw")
                await self.citizen.withdraw("Ik heb het niet meer nodig.")
                continue
            name, act = self._turn(state) or ("", None)
            if act is None or name in self.done:
                await self._changes(state)
            else:
                self.done.add(name)
                await act(state)

    async def look(self) -> Json:
        """The case as the operator sees it: everything."""
        found = await self.scene.operator.client.ask(turn_queries.TURN, reference=self.citizen.reference)
        state: Json = found["case"]
        return state | {"open": {one["kind"] for one in state["tasks"] if one["status"] == "OPEN"}}

    async def _changes(self, state: Json) -> None:
        """Until something moves by itself, or because of what somebody did."""

        async def moved() -> bool:
            now = await self.look()
            return bool(now["version"] != state["version"] or now["open"] != state["open"])

        try:
            await self.citizen.until(moved, "the case to move", seconds=LONG_SECONDS)
        except WalkFailed as failed:
            told = f"{state['status']} in {state['stage']}, with the tasks {sorted(state['open']) or 'none'}"
            raise WalkFailed(f"{failed}: nobody is to move; it stands at {told}") from None

    # ------------------------------------------------------------------ whose turn

    def _turn(self, state: Json) -> Turn | None:
        """Who is to move now; None while the case moves by itself, or others were asked."""
        round_ = state["round"]
        match state["status"]:
            case "SCREENING" if state["open"] & OF_SCREENING:
                return f"screen {round_}", self._screen
            case "ASSESSMENT" if state["open"] & {"ASSESS", "REFERRED", "CHECK_FAILED"}:
                return self._assessment(state)
            case "AWAITING_ADVICE":
                return self._adviser(state)
            case "AWAITING_DECISION":
                return self._decision(state)
            case "AWAITING_PAYMENT" if state["invoice"]:
                name = f"pay {state['invoice']['id']}"
                return name, self._pay if self.way.pays else self._do_not_pay
            case "AWAITING_SLOT":
                return f"slot {state['version']}", self._choose
            case "AWAITING_DELIVERY":
                return f"drive {state['version']}", self._drive
            case "AWAITING_PAYOUT" if "ORDER_PAYOUT" in state["open"] or state["payout"] is None:
                return f"order {round_}", self._pay_out
            case "AWAITING_APPLICANT":
                return self._applicant(state)
            case _:
                return None

    def _applicant(self, state: Json) -> Turn | None:
        if (state["coApplication"] or {}).get("status") == "ASKED":
            return f"companion {state['coApplication']['id']}", self._answer_together
        if (state["informationRequest"] or {}).get("awaited"):
            return f"supply {state['version']}", self._supply
        return None

    def _assessment(self, state: Json) -> Turn:
        asked = {one["adviser"] for one in state["advices"] if one["round"] == state["round"]}
        to_ask = [one["key"] for one in self.definition.get("advisers", ()) if one["key"] not in asked]
        consult = f"consult {state['round']}"
        if to_ask and consult not in self.done:
            return consult, self._consult
        unknown = [one["id"] for one in state["checks"] if self._can_replace(one)]
        if unknown and f"replace {unknown[0]}" not in self.done:
            return f"replace {unknown[0]}", self._replace
        return f"prepare {state['round']}", self._prepare

    def _can_replace(self, check: Json) -> bool:
        return check["status"] == "UNKNOWN" and check["kind"] in self.promises.papers

    def _adviser(self, state: Json) -> Turn | None:
        """The silent one last: a deadline that is made to come is then theirs."""
        awaited = [one for one in state["advices"] if one["status"] in AWAITED and one["kind"] != "MACHINE"]
        for one in sorted(awaited, key=lambda one: one["adviser"] == self.way.silent):
            if f"advise {one['id']}" not in self.done:
                return f"advise {one['id']}", partial(self._advise, one)
        return None

    def _decision(self, state: Json) -> Turn | None:
        drafted = state["decision"] or {"id": "", "status": "WITHDRAWN", "agendaItem": None}
        if not self.by_body:
            return (f"decide {state['round']}", self._decide) if "DECIDE" in state["open"] else None
        match drafted["status"]:
            case "WITHDRAWN":
                return f"prepare {state['round']}", self._prepare
            case "DRAFT":
                return f"send {drafted['id']}", self._send
            case "ON_AGENDA":
                return f"sit {drafted['agendaItem']['itemUid']}", self._sit
            case _:
                return None

    @property
    def by_body(self) -> bool:
        return self.promises.body not in ("", "rule", "handler")

    # ------------------------------------------------------------------ screening, assessment

    async def handler(self, state: Json) -> Servant:
        return await self.scene.worker("LoketBehandelaar", state["department"])

    async def _screen(self, state: Json) -> None:
        handler = await self.handler(state)
        await handler.take_on(self.case_id)
        if self.way.admits:
            await handler.declare_admissible(self.case_id)
        else:
            await handler.declare_inadmissible(self.case_id, legal=BASIS, fact=REASON)

    async def _answer_together(self, _: Json) -> None:
        await companion.answer(self.scene, self.citizen, self.companion, self.way.answers)

    async def _supply(self, _: Json) -> None:
        await self.citizen.supply("Hierbij wat u vroeg.")

    async def _consult(self, state: Json) -> None:
        """Ask all whom the procedure knows; one whose check this case does not need has nothing to say."""
        handler = await self.handler(state)
        asked = {one["adviser"] for one in state["advices"] if one["round"] == state["round"]}
        for adviser in self.definition.get("advisers", ()):
            if adviser["key"] in asked:
                continue
            try:
                await handler.consult(self.case_id, adviser["key"])
            except Refused as refused:
                if refused.code != "RULE_NOT_MET":
                    raise
                self.scene.story.tell("handler", f"need not ask {adviser['key']}: {refused.code}")

    async def _replace(self, state: Json) -> None:
        """A paper stands in for what no source knows."""
        check = next(one for one in state["checks"] if self._can_replace(one))
        paper = await self.citizen.hand_in("attest.pdf", PDF, self.promises.papers[check["kind"]])
        await (await self.handler(state)).replace_check(check, paper, "Attest gelezen.")

    async def _advise(self, advice: Json, _: Json) -> None:
        about = next(one for one in self.definition["advisers"] if one["key"] == advice["adviser"])
        if advice["adviser"] == self.way.silent:
            await self._say_nothing(about)
        elif advice["kind"] == "EXTERNAL":
            await by_link(self.scene, self.citizen, about["email"])
        else:
            adviser = await self.scene.worker("LoketAdviseur", about.get("department") or "")
            await adviser.advise(advice, "POSITIVE", "Geen bezwaar: het advies is gunstig.")

    async def _say_nothing(self, adviser: Json) -> None:
        await self.fire("ADVICE_REMINDER", "the day of the reminder comes")
        await self.scene.operator.fire(self.case_id, "ADVICE_END", f"the deadline of {adviser['key']} passes")

    # ------------------------------------------------------------------ deciding

    async def _prepare(self, state: Json) -> None:
        """Draft it by the rules; where these leave it open or say otherwise, in the handler's words."""
        handler = await self.handler(state)
        if not self.way.grants:
            await handler.prepare([self.case_id], self._words("REFUSED"))
            return
        try:
            await handler.prepare([self.case_id])
        except Refused as refused:
            if refused.code not in ("RULE_NOT_MET", "REQUIRED"):
                raise
            await handler.prepare([self.case_id], self._words("GRANTED"))
        drafted = (await self.look())["decision"]
        if drafted["status"] == "DRAFT" and drafted["proposal"] == "REFUSED":
            asked = [{"key": one["key"], "granted": True} for one in drafted["benefits"]]
            words = self._words("GRANTED") | ({"benefits": asked} if asked else {})
            await handler.prepare([self.case_id], words)

    def _words(self, outcome: str) -> Json:
        fact = "De aanvraag voldoet aan het reglement." if outcome == "GRANTED" else REASON
        return {"outcome": outcome, "motivationLegal": BASIS, "motivationFactual": fact}

    async def _decide(self, state: Json) -> None:
        wish = self._words("GRANTED" if self.way.grants else "REFUSED")
        wish = {name: wish[name] for name in ("motivationLegal", "motivationFactual")} | {
            "granted": self.way.grants
        }
        handler = await self.handler(state)
        document = turn_queries.DECIDE
        key = uuid4().hex
        await handler.client.do("decisionTake", document, caseId=self.case_id, input=wish, idempotencyKey=key)
        self.scene.story.tell("handler", "grants it" if self.way.grants else f"refuses it: {REASON}")

    async def _send(self, state: Json) -> None:
        """On the agenda of the body; its package must know who proposes it, and under which heading."""
        outside, agenda = self.scene.place.outside, self.definition["decision"]["agenda"]
        await offices.enlist(outside, "organisations", agenda["proposing_group"])
        if agenda.get("category"):
            await offices.enlist(outside, "categories", agenda["category"])
        await offices.make_room(outside, self.promises.body)
        self.citizen.item = await (await self.handler(state)).send_to_minutes([self.case_id])

    async def _sit(self, _: Json) -> None:
        """The body takes it as it was drafted, and two people sign: Loket is told."""
        outside = self.scene.place.outside

        async def before() -> Json | None:
            found = await offices.items(outside, self.citizen.item)
            return found[-1] if found and found[-1]["meeting"] else None

        item = await self.citizen.until(before, "the item on an agenda", seconds=LONG_SECONDS)
        await offices.sit(outside, item, "accepted", tell=False)
        self.scene.story.tell("body", f"{self.promises.body} decides on “{item['title']}”: accepted")
        await offices.sign(outside, item)
        self.scene.story.tell("secretary", "has it signed by two people; the minutes system tells Loket")
        self.agenda.append("accepted")

    # ------------------------------------------------------------------ paying, delivering

    async def _pay(self, _: Json) -> None:
        await self.citizen.pay()

    async def _do_not_pay(self, _: Json) -> None:
        """The reminders come, then the notice of default, then the end of the patience."""
        payment = self.definition["payment"]
        asked_first = self.scene.place.procedure["stages"][0] == "PAYMENT"
        for reminder in () if asked_first else payment.get("reminders", ()):
            if not await self.fire("PAYMENT_REMINDER", "a day to remind of the invoice comes"):
                break
            self._charge(reminder)
        notice = payment.get("default_notice")
        if notice and await self.fire("DEFAULT_NOTICE", "the day of the notice of default comes"):
            self._charge(notice)
            if not self.registered_notice:
                await post_letters(self.scene, self.citizen)
        await self.scene.operator.fire(self.case_id, "PAYMENT_END", "the last day to pay passes")

    @property
    def registered_notice(self) -> bool:
        """Whether a notice of default goes with legal value."""
        notice = (self.definition.get("payment") or {}).get("default_notice") or {}
        return bool(notice.get("registered", True))

    def _charge(self, reminder: Json) -> None:
        """What a reminder costs on this day: the last price that began."""
        cost = [Decimal(str(one["amount"])) for one in reminder.get("cost", ())]
        self.costs += [one.quantize(Decimal("0.01")) for one in cost[-1:] if one]

    async def fire(self, kind: str, told: str) -> bool:
        """Let a deadline come now; False where there is none."""
        try:
            await self.scene.operator.fire(self.case_id, kind, told)
        except Refused as refused:
            if refused.code not in ("NOT_FOUND", "TRANSITION_NOT_ALLOWED", "VALIDATION"):
                raise
            return False
        return True

    async def _choose(self, _: Json) -> None:
        """A day that suits; where the van drives on none, the planner sends it out on one that is allowed."""
        outside, planning = self.scene.place.outside, self.definition.get("planning") or {}
        if not await self.citizen.offered():
            day = await outside.send_out_van(planning.get("weekdays") or (), planning.get("lead_days", 1))
            if day is None:
                raise WalkFailed("no slot can be chosen, and the planner can send the van out on no day")
            self.scene.story.tell("planner", f"sends the van out on {day}")
            await self.citizen.until(self.citizen.offered, f"a slot on {day}", seconds=LONG_SECONDS)
        await self.citizen.choose()

    async def _drive(self, _: Json) -> None:
        if self.missed == self.way.misses:
            await drive(self.citizen)
            return
        self.missed += 1
        await agreed_slot(self.citizen)
        await self.scene.place.outside.miss(self.citizen.reference)
        self.scene.story.tell("driver", "finds nobody, and says so at the desk")
        await self.citizen.happens("MISSED", seconds=LONG_SECONDS)

    # ------------------------------------------------------------------ paying out

    async def _pay_out(self, state: Json) -> None:
        """Ordered, agreed to by others, executed by the bank."""
        first, second = self.scene.finance
        visum = bool(self.definition["payout"].get("visum"))
        order = await (await self.handler(state) if visum else first).order(self.case_id)
        if visum:
            await first.approve(order)
        await second.approve(order)
        outside = self.scene.place.outside

        async def ordered() -> Json | None:
            found = await offices.payouts(outside, self.citizen.reference)
            return next((one for one in reversed(found) if one["status"] == "ACCEPTED"), None)

        sent = await self.citizen.until(ordered, "accounting to have the order", seconds=LONG_SECONDS)
        await offices.execute(outside, sent)
        amount = Decimal(order["amount"]["amount"])
        self.scene.story.tell("bank", f"pays {amount} EUR to {sent['order']['creditor']['iban']}")
        self.payouts.append(("EXECUTED", amount))
