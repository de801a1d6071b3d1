"""A town at work: Loket with its doors open and a worker running, citizens and staff who use it over GraphQL.

What others see is read where they see it: the API's answers, and the records of the sandbox.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import graphql
import httpx2
from sqlalchemy import text

from loket.app import SHIPPED
from loket.ids import decode_id
from loket.sandbox import personas
from loket.worker import Worker
from served import Served, served

Json = dict[str, Any]

HANDLER, FINANCE, DRIVER, OPERATOR = "hilde", "filip", "wim", "greet"
"""Personas of the staff, by what they do."""
REFUND_SECONDS = 0.05
"""How long the payment module takes to pay back."""
SCHEMA = Path(__file__).parent.parent / "schema.graphql"

ERRORS = """errors { __typename code message path
    ... on TransitionNotAllowed { currentStatus allowedActions }
    ... on VersionConflict { currentVersion }
    ... on SlotFull { alternatives { slotId startsAt } } }"""
CASE = """id reference status stage version round outcome overdue due closedAt
    invoice { id number status structuredReference issuedOn dueOn lines { description quantity amount }
              amount { amount } paid { amount } outstanding { amount } document { url }
              payments { id status method amount { amount } } }
    delivery { id status startsAt endsAt calendarSequence deliveredAt address { street postalCode }
               items { product quantity } booking { status expiresAt slot { id startsAt free } } }
    refunds { id status reason amount { amount } }
    decision { status byRule motivationLegal motivationFactual }
    suspensions { reason endedOn }
    checks { status code }
    tasks { id kind status data remark }"""


@dataclass
class Town:
    served: Served
    _own_client: httpx2.AsyncClient | None = field(default=None, repr=False)
    """Lets a connection go before the other side does, however slow the machine is."""
    _tokens: dict[str, str] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _keys: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def client(self) -> httpx2.AsyncClient:
        return self._own_client or self.served.client

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────

    def somebody(self) -> str:
        """A resident who lives alone, and whom nobody met before."""
        return f"burger-{next(self._numbers)}"

    def key(self) -> str:
        """An idempotency key of one's own."""
        return f"key {next(self._keys)}"

    async def post(self, who: str | None, document: str, variables: Mapping[str, Any] | None = None) -> Json:
        """The whole answer to a GraphQL request."""
        headers = {}
        if who is not None:
            if who not in self._tokens:
                self._tokens[who] = await self.served.token_of(who)
            headers["Authorization"] = f"Bearer {self._tokens[who]}"
        body = {"query": document, "variables": dict(variables or {})}
        answer = await self.client.post("/graphql", json=body, headers=headers)
        told: Json = answer.json()
        return told

    async def ask(self, who: str | None, document: str, **variables: object) -> Json:
        """The data of an answer without errors."""
        told = await self.post(who, document, variables)
        assert "errors" not in told, told["errors"]
        data: Json = told["data"]
        return data

    async def tries(self, who: str | None, action: str, fields: str = "", **arguments: object) -> Json:
        """The payload of a mutation, its refusals under `errors`; a key is given where it takes one."""
        takes = _mutation(action).args
        if "idempotencyKey" in takes:
            arguments.setdefault("idempotencyKey", self.key())
        declared = ", ".join(f"${name}: {takes[name].type}" for name in arguments)
        passed = ", ".join(f"{name}: ${name}" for name in arguments)
        document = f"mutation({declared}) {{ {action}({passed}) {{ {ERRORS} {fields} }} }}"
        payload: Json = (await self.ask(who, document, **arguments))[action]
        return payload

    async def does(self, who: str | None, action: str, fields: str = "", **arguments: object) -> Json:
        """The payload of a mutation that is granted."""
        payload = await self.tries(who, action, fields, **arguments)
        assert payload["errors"] == [], payload["errors"]
        return payload

    async def refused(self, who: str | None, action: str, **arguments: Any) -> Json:  # noqa: ANN401  # as `tries`
        """The one refusal of a mutation."""
        (refusal,) = (await self.tries(who, action, **arguments))["errors"]
        told: Json = refusal
        return told

    # ── applying ──────────────────────────────────────────────────────────────────────────────────────

    async def fills_in(
        self,
        who: str,
        *,
        procedure: str = "compost-bin",
        cart: Mapping[str, int] | None = None,
        answers: Json | None = None,
    ) -> str:
        """The id of a draft that can be handed in."""
        payload = await self.does(who, "applicationStart", "application { id }", procedure=procedure)
        draft: str = payload["application"]["id"]
        citizen = personas.person(who)
        email = citizen.email if isinstance(citizen, personas.Citizen) else None
        given = {"delivery": {"place": "home"}, "declaration": True, "contact": {"email": email}}
        await self.does(who, "applicationSetAnswers", id=draft, input=given | (answers or {}))
        lines = [{"product": name, "quantity": number} for name, number in (cart or {"bak": 1}).items()]
        await self.does(who, "applicationSetCart", id=draft, input={"lines": lines})
        return draft

    async def applies(self, who: str | None = None, **filled_in: Any) -> "Dossier":  # noqa: ANN401  # as `fills_in`
        """The case of somebody who fills in and hands in."""
        who = who or self.somebody()
        draft = await self.fills_in(who, **filled_in)
        payload = await self.does(who, "applicationSubmit", "case { id reference }", id=draft)
        return Dossier(self, who, payload["case"]["id"], payload["case"]["reference"])

    # ── the outside world ─────────────────────────────────────────────────────────────────────────────

    async def look(self, system: str, path: str, **query: str) -> Any:  # noqa: ANN401  # JSON
        """What a system of the sandbox has on record."""
        urls = self.served.house.config.urls
        base = f"{urls['desk']}/systeem/smtp" if system == "smtp" else urls[system]
        answer = await self.client.get(f"{base}/sim/{path}", params=query)
        assert answer.is_success, answer.text
        return answer.json()

    async def order(self, system: str, path: str, **told: object) -> Any:  # noqa: ANN401  # JSON
        """Have something happen in the outside world."""
        url = f"{self.served.house.config.urls[system]}/sim/{path}"
        answer = await self.client.post(url, json=told)
        assert answer.is_success, answer.text
        return answer.json()

    async def fails(self, system: str, **fault: object) -> None:
        await self.order(system, "faults", **fault)

    async def recovers(self, system: str) -> None:
        await self.client.delete(f"{self.served.house.config.urls[system]}/sim/faults")

    @asynccontextmanager
    async def hooks(self, system: str, mode: str, type: str = "") -> AsyncIterator[None]:
        """`hold` or `lose` what a system would tell Loket by itself."""
        url = f"{self.served.house.config.urls[system]}/sim/callbacks/rule"
        (await self.client.put(url, json={"mode": mode, "type": type})).raise_for_status()
        try:
            yield
        finally:
            await self.client.put(url, json={"mode": "send", "type": ""})

    async def letters(self, who: str) -> list[Json]:
        """The e-mails in somebody's mailbox, oldest first."""
        citizen = personas.person(who)
        assert isinstance(citizen, personas.Citizen)
        letters: list[Json] = await self.look("smtp", f"mailbox/{citizen.email}")
        assert [one["complaints"] for one in letters if one["complaints"]] == []
        return letters

    async def notified(self, who: str) -> list[Json]:
        """The messages in somebody's Mijn Burgerprofiel."""
        found: list[Json] = await self.look("notificaties", f"mbp/{_insz(who)}")
        return found

    async def registrations(self, who: str) -> list[Json]:
        """Under which national numbers Loket follows somebody at MAGDA now."""
        found = await self.look("magda", "registrations")
        numbers = {_insz(who)}
        citizen = personas.person(who)
        if isinstance(citizen, personas.Citizen) and citizen.replaced_by:
            numbers.add(citizen.replaced_by)
        return [one for one in found if one["insz"] in numbers]

    async def sql(self, statement: str, **values: object) -> list[Any]:
        """Rows of the database: to let time pass, or to wait."""
        async with self.served.loket.database.transaction() as session:
            connection = await session.connection()
            rows = await connection.execute(text(statement), values)
            return list(rows.all()) if rows.returns_rows else []


@dataclass
class Dossier:
    """One citizen's case."""

    town: Town
    who: str
    id: str
    reference: str

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────

    async def read(self, who: str | None = None, fields: str = CASE) -> Json:
        """As staff see it, or somebody else."""
        document = f"query($reference: String!) {{ case(reference: $reference) {{ {fields} }} }}"
        seen = await self.town.ask(who or OPERATOR, document, reference=self.reference)
        case: Json = seen["case"]
        return case

    async def events(self) -> list[str]:
        """The timeline, oldest first."""
        seen = await self.read(self.who, "timeline(first: 100) { nodes { type } }")
        return [one["type"] for one in seen["timeline"]["nodes"]]

    async def tasks(self, status: str = "OPEN") -> list[str]:
        seen = await self.read(fields="tasks { kind status }")
        return [one["kind"] for one in seen["tasks"] if one["status"] == status]

    async def actions(self, who: str) -> set[str]:
        """What somebody may do with it now."""
        seen = await self.read(who, "viewerAvailableActions { action enabled }")
        return {one["action"] for one in seen["viewerAvailableActions"] if one["enabled"]}

    async def until(self, status: str, seconds: float = 30.0) -> Json:
        """As staff see it once it has this status."""
        seen: Json = {}

        async def there() -> bool:
            seen.update(await self.read(self.who, "status"))
            return bool(seen["status"] == status)

        try:
            await until(there, seconds)
        except TimeoutError:
            raise AssertionError(f"{self.reference} is {seen['status']}, not {status}") from None
        return await self.read()

    async def calm(self, seconds: float = 30.0) -> None:
        """Once all that others were to hear of it now is handed over."""

        async def quiet() -> bool:
            rows = await self.town.sql(
                "SELECT FROM effect WHERE case_id = :id AND state = 'PENDING'"
                " AND (retry_at IS NULL OR retry_at < now() + interval '5 seconds') LIMIT 1",
                id=decode_id(self.id, "Case"),
            )
            return not rows

        await until(quiet, seconds)

    async def dosis(self) -> list[tuple[str, str]]:
        """What Mijn Burgerprofiel showed of it, in order: code and phase."""
        await self.calm()
        told = await self.town.look("dosis", f"mbp/{_insz(self.who)}")
        mine = [one for one in told if one["DossierNummer"] == self.reference]
        assert not [one for one in mine if one["OutOfOrder"]]
        return [(one["Status"]["VlaamsCode"], one["Status"]["VlaamsFase"]) for one in mine]

    async def letters(self) -> list[Json]:
        await self.calm()
        return [one for one in await self.town.letters(self.who) if self.reference in one["subject"]]

    async def entries(self) -> list[tuple[str, str]]:
        """What the books have of it: type and amount."""
        await self.calm()
        numbers = await self._structured_references()
        found = await self.town.look("accounting", "entries")
        mine = [one["entry"] for one in found if one["entry"]["reference"] in numbers]
        return [(one["type"], one["amount"]) for one in mine]

    async def bookings(self) -> list[Json]:
        """What the planning tool has of it."""
        await self.calm()
        found: list[Json] = await self.town.look("planning", "bookings", reference=self.reference)
        return found

    async def _structured_references(self) -> set[str]:
        rows = await self.town.sql(
            "SELECT reference FROM invoice WHERE case_id = :id", id=decode_id(self.id, "Case")
        )
        return {row.reference for row in rows}

    # ── paying ────────────────────────────────────────────────────────────────────────────────────────

    async def goes_to_pay(self) -> str:
        """The payment module's number of the page on which the citizen can pay now."""
        invoice = (await self.read(self.who, "invoice { id }"))["invoice"]
        payload = await self.town.does(self.who, "paymentStart", "checkoutUrl", invoiceId=invoice["id"])
        token = payload["checkoutUrl"].rpartition("/")[2]
        checkouts = await self.town.look("worldline", "checkouts", reference=self.reference)
        (page,) = [one for one in checkouts if one["token"] == token]
        number: str = page["id"]
        return number

    async def pays(self) -> None:
        """Online; Loket hears of it by the webhook."""
        await self.town.order("worldline", f"checkouts/{await self.goes_to_pay()}/pay")

    async def transfers(self, amount: str) -> None:
        """From a bank account, with the structured reference."""
        reference = (await self._structured_references()).pop()
        await self.town.order("accounting", "transfer", reference=reference, amount=amount)

    async def fires(self, timer: str) -> None:
        """Let a deadline come."""
        await self.town.does(OPERATOR, "timerFire", caseId=self.id, kind=timer)

    async def timers(self) -> set[str]:
        """Which deadlines run."""
        rows = await self.town.sql(
            "SELECT kind FROM timer WHERE case_id = :id AND state = 'ARMED'", id=decode_id(self.id, "Case")
        )
        return {row.kind for row in rows}

    # ── choosing ──────────────────────────────────────────────────────────────────────────────────────

    async def slots(self) -> list[Json]:
        """What can be chosen."""
        document = "query($id: ID!) { deliverySlots(caseId: $id) { id startsAt endsAt free } }"
        slots: list[Json] = (await self.town.ask(self.who, document, id=self.id))["deliverySlots"]
        return slots

    async def books(self, slot: Json | None = None) -> Json:
        """A delivery slot, the first one if none is named; the slot."""
        slot = slot or (await self.slots())[0]
        await self.town.does(self.who, "deliveryBookSlot", caseId=self.id, slotId=slot["id"])
        return slot


# ── opening the town ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def opened(database_url: str, folder: Path, **changed: object) -> AsyncIterator[Town]:
    """`changed` replaces fields of Loket's settings."""
    short = httpx2.Limits(max_connections=100, keepalive_expiry=1.0)
    async with (
        served(database_url, folder, **changed) as found,
        httpx2.AsyncClient(base_url=found.url, trust_env=False, limits=short, timeout=60) as client,
    ):
        town = Town(found, client)
        await client.put(
            f"{found.house.config.urls['worldline']}/sim/settings", json={"refundSeconds": REFUND_SECONDS}
        )
        worker = Worker(found.loket)
        running = asyncio.create_task(worker.run())
        try:
            yield town
        finally:
            worker.stop()
            await running


def copied(folder: Path, key: str, stages: str, **changed: str) -> None:
    """Put a copy of the shipped blueprint into `folder`: under another key, with its stages in this order."""
    (shipped,) = SHIPPED.glob("compost-bin.yaml")
    text_ = shipped.read_text("utf-8")
    for word, value in ({"key": key, "stages": f"[{stages}]"} | changed).items():
        text_, number = re.subn(rf"(?m)^( *{word}:) .*$", rf"\g<1> {value}", text_, count=1)
        assert number == 1
    (folder / f"{key}.yaml").write_text(text_, "utf-8")


async def nothing_stays_open(town: Town) -> None:
    """What must hold of every case whatever happened to it; once all that is under way is done."""

    async def let_go() -> bool:
        return not await town.sql(
            'SELECT FROM "case" JOIN magdause ON subject_id = "case".id WHERE closed_at IS NOT NULL'
        )

    await until(let_go)
    for what, query in INVARIANTS.items():
        assert await town.sql(query) == [], what


INVARIANTS = {
    "an ended case has an open invoice": """
        SELECT "case".reference FROM invoice JOIN "case" ON "case".id = invoice.case_id
         WHERE closed_at IS NOT NULL AND invoice.status IN ('ISSUED', 'PARTLY_PAID')""",
    "an ended case has a place in a slot": """
        SELECT "case".reference FROM booking JOIN "case" ON "case".id = booking.case_id
         WHERE "case".status IN ('WITHDRAWN', 'CANCELLED', 'INADMISSIBLE', 'REJECTED')
           AND booking.status IN ('HELD', 'BOOKED')""",
    "an ended case has a payment page": """
        SELECT "case".reference FROM payment JOIN "case" ON "case".id = payment.case_id
         JOIN invoice ON invoice.id = payment.invoice_id
         WHERE closed_at IS NOT NULL AND payment.status IN ('STARTED', 'PENDING')
           AND invoice.status <> 'HANDED_OVER'""",
    "an ended case has a deadline": """
        SELECT "case".reference, kind FROM timer JOIN "case" ON "case".id = timer.case_id
         WHERE closed_at IS NOT NULL AND state = 'ARMED'
           AND kind NOT IN ('CHECKOUT_POLL', 'NOTIFY_END', 'EBOX_POLL', 'DEPOSIT_END')
           AND NOT (status = 'COMPLETED' AND kind IN ('VALIDITY_REMINDER', 'VALIDITY_END', 'RENEWAL'))""",
    "an open case waits for nothing": """
        SELECT reference FROM "case" WHERE closed_at IS NULL AND suspensions = '[]'
           AND NOT EXISTS (SELECT FROM timer WHERE timer.case_id = "case".id AND state = 'ARMED')""",
    "an invoice was paid more or less than its payments say": """
        SELECT invoice.number FROM invoice WHERE invoice.paid <>
               (SELECT coalesce(sum(p.amount), 0) FROM payment p
                 WHERE p.invoice_id = invoice.id AND p.status = 'CAPTURED')
             - (SELECT coalesce(sum(r.amount), 0) FROM refund r JOIN payment p ON p.id = r.payment_id
                 WHERE p.invoice_id = invoice.id)
             - (SELECT coalesce(sum(b.counted), 0) FROM chargeback b JOIN payment p ON p.id = b.payment_id
                 WHERE p.invoice_id = invoice.id AND b.reversed_on IS NULL)""",
    "more went back than came in": """
        SELECT payment.id FROM payment JOIN refund ON refund.payment_id = payment.id
         WHERE refund.status <> 'FAILED' GROUP BY payment.id HAVING sum(refund.amount) > payment.amount""",
    "what came in on a credited invoice did not go back": """
        SELECT payment.id FROM payment JOIN invoice ON invoice.id = payment.invoice_id
         WHERE invoice.status = 'CREDITED' AND payment.status = 'CAPTURED'
           AND payment.amount <> (SELECT coalesce(sum(amount), 0) FROM refund
                                   WHERE payment_id = payment.id AND status <> 'FAILED')""",
    "a slot counts other places than it gave": """
        SELECT external_id FROM slot
         WHERE taken <> (SELECT count(*) FROM booking
                          WHERE slot_id = slot.id AND booking.status IN ('HELD', 'BOOKED'))""",
    "somebody expects the van at another time than it comes": """
        SELECT external_id FROM delivery JOIN booking ON booking.delivery_id = delivery.id
          JOIN slot ON slot.id = booking.slot_id
         WHERE delivery.status = 'PLANNED' AND booking.status = 'BOOKED'
           AND (delivery.starts_at, delivery.ends_at) <> (slot.starts_at, slot.ends_at)""",
    "somebody has a place in a slot that fell away": """
        SELECT external_id FROM slot JOIN booking ON booking.slot_id = slot.id
         WHERE slot.state = 'CANCELLED' AND booking.status IN ('HELD', 'BOOKED')""",
    "a household's count is not what its cases took": """
        SELECT quota.product FROM quota
         WHERE period > 0 AND quantity <> (SELECT coalesce(sum(claim.quantity), 0) FROM quotaclaim AS claim
                                             JOIN "case" ON "case".id = claim.case_id
                                            WHERE claim.household_index = quota.household_index
                                              AND claim.product = quota.product AND NOT claim.released
                                              AND "case".procedure_key = quota.procedure_key)""",
    "a number of a journal is missing": """
        SELECT journal.journal FROM journal
         WHERE last <> (SELECT count(*) FROM invoice WHERE invoice.journal = journal.journal)
                     + (SELECT count(*) FROM creditnote WHERE number LIKE journal.journal || '-%')
           AND journal.journal <> 'OGM'""",
    "a version of a case has no event": """
        SELECT reference FROM "case"
         WHERE version <> (SELECT count(DISTINCT case_version) FROM event WHERE event.case_id = "case".id)""",
    "something was refused for good": """
        SELECT system, kind, last_error FROM effect WHERE state IN ('PARKED', 'IN_DOUBT')""",
}


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Look again and again, less and less often. Raises `TimeoutError`."""
    pause = 0.02
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(pause)
            pause = min(pause * 1.4, 0.2)


def _mutation(action: str) -> graphql.GraphQLField:
    mutation = _schema().mutation_type
    assert mutation is not None
    field: graphql.GraphQLField = mutation.fields[action]
    return field


@cache
def _schema() -> graphql.GraphQLSchema:
    return graphql.build_schema(SCHEMA.read_text())


def _insz(who: str) -> str:
    citizen = personas.person(who)
    assert citizen is not None
    return citizen.insz
