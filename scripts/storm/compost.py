"""A compost bin under way: approved by rule, paid online, a day chosen, delivered; or not."""

import asyncio
from decimal import Decimal
from typing import Any

from loket.walk import browser, queries
from loket.walk.browser import LostError
from loket.walk.van import same_instant
from storm.clients import Refused, key
from storm.stories import Json, Story, Turn

LOOK_AS_CITIZEN = """
query Look($reference: String!) {
  case(reference: $reference) {
    id reference status version
    invoice { id number status structuredReference outstanding { amount } }
    delivery { id status startsAt booking { status slot { id } } }
  }
}"""


LOOK_AS_HANDLER = """
query Look($reference: String!) { case(reference: $reference) { tasks { kind status } } }"""
ELSEWHERE = {"street": "Markt", "number": "1", "postal_code": "2400", "city": "Mol"}
UNSURE = {"REFERRED", "SOURCES_UNKNOWN", "ANSWER_LAPSED"}
"""Tasks that stand in the way of what the rules would do by themselves."""
WITH_A_HANDLER = ("SCREENING", "AWAITING_DECISION")
PAGE_TRIES = 12
"""So often does somebody try a payment page that shows nothing to pay."""
HANDLERS = 20


class Compost(Story):
    procedure = "compost-bin"

    def wished(self) -> list[str]:
        """Who withdraws while paying may be too late; then the day is chosen, and so on."""
        return {
            "withdraw-paying": ["WITHDRAWN", "COMPLETED"],
            "withdraw-late": ["WITHDRAWN", "COMPLETED"],
            "never-paid": ["CANCELLED"],
            "twenty": ["COMPLETED", "REJECTED"],
        }.get(self.way, ["COMPLETED"])

    def answers(self) -> Json:
        return {"delivery": {"place": "other", "address": ELSEWHERE}} if self.way == "twenty" else {}

    async def draft(self) -> str:
        id = await super().draft()
        self.at = "cart"
        products = self.crew.procedures[self.procedure]["catalogue"]
        lines = [
            {
                "product": self.dice.choice(products)["key"],
                "quantity": self.dice.choice((1, 1, 1, 2)),
            }
        ]
        await self.client.do("applicationSetCart", queries.FILL_CART, id=id, input={"lines": lines})
        return id

    async def look(self) -> Json:
        found = await self.client.ask(LOOK_AS_CITIZEN, reference=self.reference)
        state: Json = found["case"]
        if state["status"] not in WITH_A_HANDLER:
            return state
        seen = await self.crew.staff["hilde"].ask(LOOK_AS_HANDLER, reference=self.reference)
        return state | {"open": {one["kind"] for one in seen["case"]["tasks"] if one["status"] == "OPEN"}}

    def turn(self, state: Json) -> Turn | None:
        match state["status"]:
            case "SCREENING" if state["open"] & UNSURE:
                return f"admit {state['version']}", self._admit
            case "AWAITING_DECISION" if state["open"] & (UNSURE | {"DECIDE"}) and self.way != "twenty":
                return f"decide {state['version']}", self._grant
            case "AWAITING_DECISION" if self.way == "twenty":
                return "decide", self._decide
            case "AWAITING_PAYMENT" if state["invoice"]:
                return self._due(state["invoice"])
            case "AWAITING_SLOT":
                if self.way == "withdraw-late" and self.dice.random() < 0.5:
                    return "withdraw", self.withdraw
                return f"choose {state['version']}", self._choose
            case "AWAITING_DELIVERY":
                if self.way == "withdraw-late":
                    return "withdraw", self.withdraw
                if self.way == "moved" and "move" not in self.done:
                    return "move", self._move
                return f"drive {state['version']}", self._drive
            case _:
                return None

    # ------------------------------------------------------------------ deciding

    async def _admit(self, state: Json) -> bool:
        """MAGDA would not say: a handler looks."""
        await self.crew.staff["hilde"].do("caseDeclareAdmissible", queries.DECLARE_ADMISSIBLE, id=state["id"])
        return True

    async def _grant(self, state: Json) -> bool:
        wish = {"granted": True}
        await self.crew.staff["hilde"].do(
            "decisionTake", queries.DECIDE, caseId=state["id"], input=wish, idempotencyKey=key()
        )
        return True

    async def _decide(self, state: Json) -> bool:
        """Twenty wishes at once, half of them to refuse: one is heard."""

        async def decide(number: int) -> str:
            granted = number % 2 == 0
            wish: Json = {"granted": granted}
            if not granted:
                wish |= {
                    "motivationLegal": "Reglement, artikel 2.",
                    "motivationFactual": "Buiten de gemeente.",
                }
            await self.crew.staff["hilde"].do(
                "decisionTake",
                queries.DECIDE,
                caseId=state["id"],
                input=wish,
                idempotencyKey=key(),
            )
            return "granted" if granted else "refused"

        found = await asyncio.gather(*map(decide, range(HANDLERS)), return_exceptions=True)
        won = [one for one in found if isinstance(one, str)]
        told = [",".join(one.codes) for one in found if isinstance(one, Refused)]
        self.crew.post.ledger.write(
            "raced",
            race="decisions",
            asked=HANDLERS,
            won=len(won),
            told=sorted({*won, *told}),
            case=self.reference,
        )
        return bool(won)

    # ------------------------------------------------------------------ paying

    def _due(self, invoice: Json) -> Turn:
        match self.way:
            case "never-paid":
                return "unpaid", self._never
            case "transfer":
                return f"transfer {invoice['id']}", self._transfer
            case "withdraw-paying":
                return "pay and withdraw", self._pay_and_withdraw
            case _:
                return f"pay {invoice['id']}", self._pay

    async def _never(self, state: Json) -> bool:
        return await self.fire(state, "PAYMENT_END")

    async def _pay_and_withdraw(self, state: Json) -> bool:
        """On the payment page, and in another tab at once: no, after all."""

        async def withdraw() -> None:
            await asyncio.sleep(self.dice.random())
            await self.withdraw(state)

        told = await asyncio.gather(self._pay(state), withdraw(), return_exceptions=True)
        for one in told:
            if isinstance(one, BaseException) and not isinstance(one, Refused):
                raise one
        return True

    async def _pay(self, state: Json) -> bool:
        crew, invoice = self.crew, state["invoice"]
        if Decimal(invoice["outstanding"]["amount"]) <= 0:
            return True
        website = f"{crew.post.url}/dossiers/{self.reference}"
        payload = await self.client.do(
            "paymentStart",
            queries.PAY,
            invoiceId=invoice["id"],
            idempotencyKey=key(),
            returnUrl=website,
        )
        page = str(payload["checkoutUrl"])
        crew.post.ledger.write("checkout", case=self.reference, invoice=invoice["number"], url=page)
        for _ in range(PAGE_TRIES):
            try:
                await browser.pay(crew.post.http, page, website)
            except LostError as lost:
                self.at = f"paying: {lost}"
            except crew.post.no_answer as fault:
                self.at = f"paying: {type(fault).__name__}"
            else:
                crew.post.ledger.write("paid", case=self.reference, url=page)
                return True
            await crew.post.wait(1.0, self.at)
        return False

    async def _transfer(self, state: Json) -> bool:
        """At the bank, with the communication of the invoice; once accounting knows what that is for."""
        crew, invoice = self.crew, state["invoice"]
        digits = "".join(sign for sign in invoice["structuredReference"] if sign.isdigit())

        async def transfer() -> bool:
            booked = await crew.outside.entries(digits)
            if not booked:
                return False
            if not any(one["entry"]["type"] == "PAYMENT" for one in booked):
                amount = invoice["outstanding"]["amount"]
                await crew.outside.transfer(invoice["structuredReference"], amount, self.who.upper())
            return True

        if "transferred" in self.done:
            return True
        if await crew.post.stubborn(transfer, "the bank"):
            self.done["transferred"] = 0.0
            crew.post.ledger.write(
                "outside",
                system="accounting",
                method="POST",
                path="/sim/transfer",
                fields={"case": self.reference},
                status=200,
            )
            return True
        return False

    # ------------------------------------------------------------------ a day

    async def _choose(self, state: Json) -> bool:
        crush = self.crew.crush
        wanted = await crush.join(self) if crush is not None else None
        if crush is not None and wanted is not None:
            try:
                await self._hold_and_book(state, wanted)
            except Refused as refused:
                if not set(refused.codes) & {"SLOT_FULL", "SLOT_GONE"}:
                    raise
                return False
            crush.booked += 1
            return True
        slot = await self._any(state)
        return slot is not None and await self._hold_and_book(state, slot)

    async def _any(self, state: Json, but: str = "") -> str | None:
        """One of those with most room: many who choose at once spread themselves."""
        found = await self.client.ask(queries.SLOTS, caseId=state["id"])
        slots = sorted(found["deliverySlots"], key=lambda one: -one["free"])[:6]
        free = [one["id"] for one in slots if one["free"] and one["id"] != but]
        return str(self.dice.choice(free)) if free else None

    async def _hold_and_book(self, state: Json, slot: str) -> bool:
        case = {"caseId": state["id"]}
        await self.client.do("deliveryHoldSlot", queries.HOLD, **case, slotId=slot, idempotencyKey=key())
        await self.client.do("deliveryBookSlot", queries.BOOK, **case, idempotencyKey=key())
        return True

    async def _move(self, state: Json) -> bool:
        slot = await self._any(state, but=state["delivery"]["booking"]["slot"]["id"])
        if slot is None:
            return False
        case = {"caseId": state["id"]}
        await self.client.do(
            "deliveryReschedule",
            queries.RESCHEDULE,
            **case,
            slotId=slot,
            idempotencyKey=key(),
        )
        return True

    async def _drive(self, state: Json) -> bool:
        """Once the planning tool has the booking as the citizen knows it, the van delivers."""
        outside, agreed = self.crew.outside, state["delivery"]["startsAt"]

        async def deliver() -> bool:
            slots: dict[str, Any] = {}
            for one in await outside.bookings(self.reference):
                if one["status"] != "BOOKED":
                    continue
                slots = slots or {slot["id"]: slot for slot in await outside.read("planning", "/sim/slots")}
                if same_instant(slots[one["slotId"]]["startsAt"], agreed):
                    fields = {"deliveredBy": "Wim Aerts"}
                    url = f"{outside.address('planning')}/sim/bookings/{one['id']}/confirm"
                    answer = await self.crew.post.http.post(url, data=fields)
                    return answer.status_code in (303, 409)
            return False

        return await self.crew.post.stubborn(deliver, "the van")
