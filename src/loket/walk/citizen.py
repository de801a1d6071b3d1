"""The citizen: applies, follows, pays, chooses a day; each step is one or two calls of the public API."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from loket.walk import browser, premium_queries, queries
from loket.walk.client import NO_ANSWER, Client, Refused
from loket.walk.form import Memory, leaves, merged, missing_answers
from loket.walk.known import SHIPPED
from loket.walk.outside import Outside
from loket.walk.story import Story
from loket.walk.trying import Desk

Json = dict[str, Any]
Cart = list[Json]

PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj "
    b"2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n%%EOF\n"
)
ASK_AGAIN_SECONDS = (0.1, 0.1, 0.2, 0.4, 0.8)
QUIET = frozenset({"EFFECT_DONE"})
"""Events that are told at the end, all together."""


class WalkFailed(Exception):
    """Something did not happen, or happened wrongly; the message says what was waited for."""


@dataclass(frozen=True)
class Place:
    """Where the walk takes place, and how long a step may take."""

    url: str
    outside: Outside
    http: httpx2.AsyncClient
    """For everybody who needs no cookies of their own."""
    procedure: Json
    seconds: float = 30.0
    folders: tuple[Path, ...] = (SHIPPED,)
    """Where the files of definitions lie."""
    by_definition: bool = False
    """Whether it is walked by its definition alone, also where scripts were written for it."""


@dataclass
class Citizen:
    """One persona, signed in, with at most one case at a time."""

    place: Place
    persona: str
    story: Story
    client: Client
    label: str = "citizen"
    """How the story calls them."""
    name: str = ""
    insz: str = ""
    email: str = ""
    phone: str = ""
    companion: str = ""
    """National number of somebody who applies with them."""
    strict: bool = True
    """Whether MAGDA must answer while the form opens; it may be too slow in a crowd."""
    by_hand: bool = False
    """Whether it did not."""
    draft: Json = field(default_factory=dict)
    case: Json = field(default_factory=dict)
    item: str = ""
    """How the minutes system knows the decision on it."""
    events: list[Json] = field(default_factory=list)
    """As they came over the socket."""
    _heard: int = 0
    """How many of them were waited for."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _follower: asyncio.Task[None] | None = None
    own_http: httpx2.AsyncClient | None = None

    @property
    def reference(self) -> str:
        return str(self.case["reference"])

    # ------------------------------------------------------------------ signing in

    @classmethod
    async def by_browser(cls, place: Place, persona: str, story: Story, label: str) -> "Citizen":
        """Signed in through ACM/IDM, with a cookie session."""
        http = httpx2.AsyncClient(trust_env=False, timeout=place.seconds, follow_redirects=False)
        async with story.step("sign in"):
            await browser.sign_in(http, place.url, persona)
        client = Client(place.url, http=http, patience_seconds=place.seconds)
        citizen = cls(place, persona, story, client, label)
        citizen.own_http = http
        await citizen._introduce()
        story.tell(label, f"{citizen.name} ({persona}) signs in at ACM/IDM and comes back with a session")
        return citizen

    @classmethod
    async def by_token(cls, place: Place, persona: str, story: Story, label: str) -> "Citizen":
        """With a Bearer token, like the mobile app."""
        token = await place.outside.token(persona)
        client = Client(place.url, http=place.http, token=token, patience_seconds=place.seconds)
        citizen = cls(place, persona, story, client, label)
        await citizen._introduce()
        story.tell(label, f"{citizen.name} ({persona}) opens the app, with a token of ACM/IDM")
        return citizen

    @classmethod
    def at_the_counter(cls, place: Place, name: str, story: Story, client: Client) -> "Citizen":
        """Somebody without national number, e-mail and phone: staff with this client enter all for them."""
        visitor = cls(place, "", story, client, "visitor", name=name, strict=False)
        story.tell("visitor", f"{name} comes to the counter, without identity card, e-mail or phone")
        return visitor

    async def _introduce(self) -> None:
        viewer = (await self.client.ask(queries.VIEWER))["viewer"]
        if viewer is None or viewer["person"] is None:
            raise WalkFailed(f"{self.persona} signed in, and Loket knows nobody by that session")
        self.name = viewer["person"]["name"]
        self.insz = await self.place.outside.national_number(await self.place.outside.token(self.persona))

    async def leave(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None
        if self.own_http is not None:
            await self.own_http.aclose()

    # ------------------------------------------------------------------ applying

    async def prefer(self, email: str, phone: str, *, prove: bool) -> None:
        """Ask for e-mail and text messages; `prove`: with the codes that were sent to both."""
        self.email, self.phone = email, phone
        async with self.story.step("preferences"):
            wishes = {"email": email, "phone": phone, "byEmail": True, "bySms": True, "language": "nl"}
            told = (await self.client.do("contactPreferencesSet", queries.PREFER, input=wishes))[
                "contactPreferences"
            ]
        self.story.tell(self.label, f"wants to hear by e-mail ({email}) and text message ({phone})")
        if prove and not (told["emailVerified"] and told["phoneVerified"]):
            async with self.story.step("prove"):
                mails = self.place.outside.mails
                texts = self.place.outside.texts
                code = await self.until(lambda: _last_code(mails(email), "subject"), "a code in the mailbox")
                await self._verify("EMAIL", code)
                code = await self.until(lambda: _last_code(texts(phone), "body"), "a code on the phone")
                await self._verify("SMS", code)
            self.story.tell(self.label, "proves both with the codes that came there")

    async def _verify(self, channel: str, code: str) -> None:
        await self.client.do("contactPointVerify", queries.VERIFY, input={"channel": channel, "code": code})

    async def apply(
        self,
        cart: Cart | None = None,
        *,
        answers: Json | None = None,
        paper: bool = False,
        by_hand: bool = False,
    ) -> None:
        """From an empty form to a case.

        `answers` go on top of what the form asks; `by_hand`: MAGDA is down and fills in nothing.
        """
        await self.start(by_hand=by_hand)
        await self.fill_in(answers or {})
        await self.resume()
        if cart is not None:
            await self.fill_cart(cart)
        if paper:
            await self.attach("plan-van-de-tuin.pdf", PDF)
        await self.submit()

    async def start(self, *, by_hand: bool = False) -> None:
        async with self.story.step("start"):
            payload = await self.client.do(
                "applicationStart", queries.START, procedure=self.place.procedure["key"]
            )
        self._opened(payload["application"], by_hand=by_hand)

    async def start_at_the_counter(self, visitor: Json) -> None:
        payload = await self.client.do(
            "applicationStartAtCounter",
            premium_queries.START_AT_COUNTER,
            procedure=self.place.procedure["key"],
            input=visitor,
        )
        self._opened(payload["application"], by_hand=True)

    def _opened(self, draft: Json, *, by_hand: bool) -> None:
        self.draft = draft
        fields = self.draft["prefill"]
        sources = sorted({str(one["source"]).partition(".")[0].upper() for one in fields})
        told = (
            f"{len(fields)} fields are filled in from {', '.join(sources)}"
            if fields
            else "nothing is filled in"
        )
        self.story.tell(self.label, f"opens the form: {told}")
        from_magda = [one for one in fields if str(one["source"]).startswith("magda")]
        if by_hand and from_magda:
            raise WalkFailed(f"MAGDA is down, and yet it filled in {from_magda[0]['field']}")
        if self.strict and not by_hand and not (from_magda and all(one["fetchedAt"] for one in from_magda)):
            raise WalkFailed("nothing came from MAGDA, or without its time")
        self.by_hand = not from_magda

    async def fill_in(
        self,
        answers: Json,
        *,
        rules: Json | None = None,
        cart: Sequence[Json] = (),
        goals: Mapping[str, bool] | None = None,
    ) -> None:
        """Save a draft that holds all that the form asks for.

        `rules`: a definition, so that nothing is answered that it refuses, as far as another answer helps;
        `goals`: and so that these conditions hold, or do not.
        """
        schema, memory = self.place.procedure["form"]["schema"], self._memory()
        given = merged(self.draft["answers"], answers)
        filled = merged(given, missing_answers(schema, given, memory))
        if rules is not None:
            fixed = {*leaves(answers), *(_path(one["field"]) for one in self.draft["prefill"])}
            desk = Desk(rules, schema, memory, self._home(), frozenset(fixed), cart, goals or {})
            filled = await asyncio.to_thread(desk.improved, filled)
        patch = {name: value for name, value in filled.items() if value != self.draft["answers"].get(name)}
        async with self.story.step("save draft"):
            await self.client.do("applicationSetAnswers", queries.ANSWER, id=self.draft["id"], input=patch)
        self.story.tell(self.label, f"fills in {', '.join(sorted(patch))} and saves the draft")

    def _home(self) -> dict[str, str]:
        """The address that was filled in from the register."""
        prefix = "magda.person.address."
        return {
            one["source"].removeprefix(prefix): str(one["value"])
            for one in self.draft["prefill"]
            if str(one["source"]).startswith(prefix) and one["value"]
        }

    async def resume(self) -> None:
        """Open the draft again, as on another device."""
        async with self.story.step("resume draft"):
            found = (await self.client.ask(queries.RESUME, id=self.draft["id"]))["application"]
        if found is None or found["status"] != "DRAFT":
            raise WalkFailed(f"the draft cannot be opened again: {found}")
        left = sorted({one["path"][0] for one in found["issues"]})
        self.story.tell(
            self.label, f"opens it on another device: still to do: {', '.join(left) or 'nothing'}"
        )
        self.draft = found

    async def fill_cart(self, cart: Cart) -> None:
        async with self.story.step("cart"):
            payload = await self.client.do(
                "applicationSetCart", queries.FILL_CART, id=self.draft["id"], input={"lines": cart}
            )
        filled = payload["application"]["cart"]
        lines = ", ".join(f"{line['quantity']} × {line['title']}" for line in filled["lines"])
        self.story.tell(
            self.label, f"fills the cart: {lines}; {filled['total']['amount']} EUR before discounts"
        )

    async def hand_in(self, filename: str, content: bytes, kind: str) -> Json:
        """Add a paper to the open case."""
        wish = {"kind": kind, "caseId": self.case["id"]}
        async with self.story.step("hand in"):
            document = await self._upload(filename, content, wish)
        self.story.tell(self.label, f"adds {filename} to the case ({kind})")
        return document | {"filename": filename}

    async def _upload(self, filename: str, content: bytes, more: Json | None = None) -> Json:
        wish = {"filename": filename, "mediaType": "application/pdf", "size": len(content)} | (more or {})
        payload = await self.client.do("documentUploadStart", queries.ANNOUNCE, input=wish)
        status = await self.client.put(payload["uploadUrl"], content, "application/pdf")
        # 404: an earlier try arrived, only its answer did not
        if status not in (201, 404):
            raise WalkFailed(f"the upload was answered with {status}")
        document: Json = payload["document"]
        return document

    async def attach(self, filename: str, content: bytes, kind: str = "ATTACHMENT") -> None:
        """Add a paper to the draft; `kind` is one of the procedure's documents."""
        async with self.story.step("upload"):
            document = (await self._upload(filename, content, {"kind": kind}))["id"]
            attached = await self.client.do(
                "applicationAttachDocument", queries.ATTACH, id=self.draft["id"], documentId=document
            )
        sizes = {one["filename"]: one["size"] for one in attached["application"]["documents"]}
        if sizes.get(filename) != len(content):
            raise WalkFailed(f"the file was not attached as it was sent: {sizes}")
        self.story.tell(self.label, f"adds {filename} ({len(content)} bytes)")

    async def submit(self) -> None:
        """Hand it in twice with one key, as when the first answer was lost: one case."""
        before = (await self.client.ask(queries.VIEWER))["viewer"]["cursor"]
        wish = {"id": self.draft["id"], "idempotencyKey": uuid4().hex}
        async with self.story.step("submit"):
            first = await self.client.do("applicationSubmit", queries.SUBMIT, **wish)
        again = await self.client.do("applicationSubmit", queries.SUBMIT, **wish)
        if first["case"]["reference"] != again["case"]["reference"]:
            raise WalkFailed(f"two cases for one wish: {first['case']} and {again['case']}")
        self.case = first["case"]
        self.story.tell(self.label, f"hands it in, twice with the same key: one case, {self.reference}")
        self._follower = asyncio.create_task(self._follow(before), name=f"following {self.reference}")

    # ------------------------------------------------------------------ following

    async def _follow(self, after: str) -> None:
        try:
            async for event in self.client.follow(
                "caseEvents", queries.FOLLOW, after=after, reference=self.reference
            ):
                if event["type"] not in QUIET:
                    self.story.tell("case", f"{event['type']:<17} {event['status']:<17} {event['summary']}")
                self.events.append(event)
                self._news.set()
        finally:
            self._news.set()

    async def happens(self, kind: str, *, seconds: float | None = None) -> Json:
        """Wait for the next event of this type after the last one that was waited for.

        Raises:
            WalkFailed: it did not come in time; says what came instead.
        """
        patience = seconds or self.place.seconds
        async with self.story.step(f"until {kind}"):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    return await self._next(kind)
        last = self.events[-1] if self.events else None
        stands = f"{last['status']} after {last['type']}" if last else "no event at all"
        raise WalkFailed(f"waited {patience:g} s for {kind}; the case stands at {stands}")

    async def _next(self, kind: str) -> Json:
        while True:
            self._news.clear()
            for place in range(self._heard, len(self.events)):
                if self.events[place]["type"] == kind:
                    self._heard = place + 1
                    return self.events[place]
            if self._follower is not None and self._follower.done():
                self._follower.result()
            await self._news.wait()

    async def look(self) -> Json:
        """The case as it is now."""
        found: Json = (await self.client.ask(queries.CASE, reference=self.reference))["case"]
        return found

    async def until(self, look: Callable[[], Any], what: str, *, seconds: float | None = None) -> Any:  # noqa: ANN401  # what `look` finds
        """Ask less and less often until there is something; `look` gives an awaitable of it, or of none."""
        patience = seconds or self.place.seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                for pause in chain(ASK_AGAIN_SECONDS, repeat(ASK_AGAIN_SECONDS[-1])):
                    if found := await look():
                        return found
                    await asyncio.sleep(pause)
        raise WalkFailed(f"waited {patience:g} s for {what}")

    # ------------------------------------------------------------------ paying

    async def pay(self) -> None:
        """Online, at the payment module's own page, and back to the website."""
        checkout = await self.open_checkout()
        await self.pay_at(checkout)
        self.story.tell(self.label, "pays there with Bancontact, and comes back to the website")

    async def open_checkout(self) -> str:
        invoice = (await self.look())["invoice"]
        async with self.story.step("start payment"):
            payload = await self.client.do(
                "paymentStart", queries.PAY,
                invoiceId=invoice["id"], idempotencyKey=uuid4().hex, returnUrl=self._website(),
            )  # fmt: skip
        self.story.tell(
            self.label,
            f"opens the payment page for {invoice['amount']['amount']} EUR (invoice {invoice['number']})",
        )
        return str(payload["checkoutUrl"])

    async def pay_at(self, checkout_url: str) -> None:
        async with self.story.step("pay"), asyncio.timeout(self.place.seconds):
            while True:
                try:
                    http = self.own_http or self.place.http
                    await browser.pay(http, checkout_url, self._website())
                except NO_ANSWER:
                    await asyncio.sleep(0.25)
                except browser.LostError as fault:
                    if not str(fault).startswith("5"):
                        raise WalkFailed(str(fault)) from fault
                    await asyncio.sleep(0.25)
                else:
                    return

    async def transfer(self) -> None:
        """By bank transfer, with the structured communication of the invoice."""
        invoice = (await self.look())["invoice"]
        amount = invoice["outstanding"]["amount"]
        await self.place.outside.transfer(invoice["structuredReference"], amount, self.name.upper())
        self.story.tell(
            self.label, f"transfers {amount} EUR at the bank with {invoice['structuredReference']}"
        )

    def _website(self) -> str:
        return f"{self.place.url}/dossiers/{self.reference}"

    # ------------------------------------------------------------------ choosing a day

    async def offered(self) -> list[Json]:
        """The slots that can be chosen, none perhaps."""
        async with self.story.step("slots"):
            found = await self.client.ask(queries.SLOTS, caseId=self.case["id"])
        slots: list[Json] = found["deliverySlots"]
        return slots

    async def slots(self) -> list[Json]:
        found = await self.offered()
        if not found:
            raise WalkFailed("no slot can be chosen: the planning tool offers none")
        return found

    async def choose(self, slot: Json | None = None) -> Json:
        """Hold a slot and book it; without `slot` one that has room."""
        slot = slot or _roomiest(await self.slots())
        async with self.story.step("hold slot"):
            slot = await self._with_room("deliveryHoldSlot", queries.HOLD, slot)
        async with self.story.step("book slot"):
            await self.client.do(
                "deliveryBookSlot", queries.BOOK, caseId=self.case["id"], idempotencyKey=uuid4().hex
            )
        self.story.tell(self.label, f"holds a place on {day_and_hour(slot)}, and books it")
        return slot

    async def reschedule(self, not_in: Json) -> Json:
        """Choose another slot."""
        others = [one for one in await self.slots() if one["id"] != not_in["id"]]
        async with self.story.step("reschedule"):
            slot = await self._with_room(
                "deliveryReschedule", queries.RESCHEDULE, _roomiest(others), not_in["id"]
            )
        self.story.tell(self.label, f"prefers {day_and_hour(slot)} after all")
        return slot

    async def _with_room(self, field: str, document: str, slot: Json, *but_not: str) -> Json:
        """Somebody else may just have taken the last place: then another slot, `but_not` one of these."""
        passed_over = set(but_not)
        while True:
            wish = {"caseId": self.case["id"], "slotId": slot["id"], "idempotencyKey": uuid4().hex}
            try:
                await self.client.do(field, document, **wish)
            except Refused as refused:
                if refused.code not in ("SLOT_FULL", "SLOT_GONE"):
                    raise
                passed_over.add(slot["id"])
                slot = _roomiest([one for one in await self.slots() if one["id"] not in passed_over])
            else:
                return slot

    # ------------------------------------------------------------------ thinking better of it

    async def withdraw(self, reason: str) -> None:
        async with self.story.step("withdraw"):
            await self.client.do("caseWithdraw", queries.WITHDRAW, id=self.case["id"], reason=reason)
        self.story.tell(self.label, f"withdraws the application: {reason}")

    async def ask_review(self, reason: str) -> None:
        await self.client.do("caseRequestReview", queries.ASK_REVIEW, id=self.case["id"], reason=reason)
        self.story.tell(self.label, f"asks that a person looks again: {reason}")

    async def supply(self, answer: str) -> None:
        await self.client.do("caseSupplyInformation", queries.SUPPLY, id=self.case["id"], answer=answer)
        self.story.tell(self.label, f"answers: {answer}")

    async def correct_account(self, iban: str) -> None:
        """Give another account, after the bank refused the first."""
        await self.client.do(
            "payoutCorrectAccount",
            premium_queries.CORRECT_ACCOUNT,
            caseId=self.case["id"],
            iban=iban,
            idempotencyKey=uuid4().hex,
        )
        self.story.tell(self.label, f"gives another account: {iban}")

    def _memory(self) -> Memory:
        by_name = {
            "name": self.name, "street": "Kerkstraat", "number": "1",
            "postal_code": "2999", "city": "Lindebeke",
        }  # fmt: skip
        by_format = {
            "email": lambda: self.email or "iemand@voorbeeld.example",
            "phone": lambda: self.phone or "+32470123456",
            "iban": lambda: iban(int(self.insz[:9] or 1)),
            "enterprise-number": lambda: "0207500123",
            "national-number": lambda: self.companion or self.insz,
        }
        return Memory(by_name, by_format)


def _path(pointer: str) -> tuple[str, ...]:
    return tuple(pointer.strip("/").split("/"))


def iban(number: int) -> str:
    """A Belgian account that is right in form; each number has its own."""
    account = f"979{number % 10**7:07}"
    account += f"{int(account) % 97 or 97:02}"
    return f"BE{98 - int(account + '111400') % 97:02}{account}"


def day_and_hour(slot: Json) -> str:
    return str(slot["startsAt"])[:16].replace("T", " ") + " UTC"


def expected_amount(procedure: Json, cart: Cart) -> Decimal:
    """What a household that orders for the first time owes: prices, options, first-unit discounts."""
    products = {one["key"]: one for one in procedure["catalogue"]}
    total = Decimal(0)
    for line in cart:
        product = products[line["product"]]
        total += Decimal(product["price"]["amount"]) * line["quantity"]
        if product["firstUnitDiscount"] is not None:
            total -= Decimal(product["firstUnitDiscount"]["amount"])
        prices = {one["key"]: Decimal(one["price"]["amount"]) for one in product["options"]}
        total += sum(prices[one["option"]] * one["quantity"] for one in line.get("options", []))
    return total


def _roomiest(slots: list[Json]) -> Json:
    """The slot with most places, the first of equals: many who choose at once spread themselves."""
    if not slots:
        raise WalkFailed("no other slot has room")
    return max(slots, key=lambda one: one["free"])


async def _last_code(found: Any, part: str) -> str | None:  # noqa: ANN401  # an awaitable of JSON
    """The six digits of the last message that holds such."""
    codes = [match[0] for one in await found if (match := re.search(r"\b[0-9]{6}\b", one[part]))]
    return codes[-1] if codes else None
