"""The outside world as its own people see it: mailboxes, phones, Mijn Burgerprofiel, the ledger, the van.

Everything here is read from the sandbox's own records or done at its own doors; Loket is not asked.
"""

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx2

Json = dict[str, Any]

BRUSSELS = ZoneInfo("Europe/Brussels")
# fmt: off
OFFSETS = {
    "desk": 0, "acmidm": 1, "magda": 2, "dosis": 3, "notificaties": 4, "worldline": 5,
    "accounting": 6, "planning": 7, "sms": 8, "minutes": 10, "ebox": 11, "sips": 12,
}
# fmt: on
"""Where each system of the sandbox listens, counted from the desk's port; mail is read at the desk."""
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DOWN = {"mode": "error"}
"""Answers each request with an error that says: try again later."""
SYSTEMS_THAT_FALL = (
    "magda", "dosis", "notificaties", "worldline", "sips", "accounting", "planning", "sms", "smtp",
)  # fmt: skip


@dataclass(frozen=True)
class Received:
    """One message as it arrived. `key` is the sender's own name for it: a repeat carries the same."""

    at: datetime
    channel: str
    key: str
    text: str
    """What Loket calls the subject; of a text message its body."""
    note: str = ""
    """What came along."""


class Outside:
    """The sandbox. `addresses` is by system; `desk` among them, where mail is read too."""

    def __init__(self, addresses: Mapping[str, str], http: httpx2.AsyncClient) -> None:
        self._addresses = addresses
        self._http = http

    @classmethod
    def behind(cls, desk: str, http: httpx2.AsyncClient) -> "Outside":
        """The sandbox whose first page is at `desk`."""
        parts = urlsplit(desk)
        first = parts.port or 80
        return cls(
            {name: f"{parts.scheme}://{parts.hostname}:{first + offset}" for name, offset in OFFSETS.items()},
            http,
        )

    def address(self, system: str) -> str:
        return self._addresses[system]

    async def read(self, system: str, path: str, **query: str) -> Any:  # noqa: ANN401  # any JSON
        answer = await self._http.get(self.address(system) + path, params=query)
        answer.raise_for_status()
        return answer.json()

    async def send(self, system: str, path: str, content: bytes, media_type: str) -> Any:  # noqa: ANN401  # JSON
        """Bring something there; what comes back."""
        headers = {"Content-Type": media_type}
        answer = await self._http.post(self.address(system) + path, content=content, headers=headers)
        answer.raise_for_status()
        return answer.json()

    async def file(self, system: str, path: str) -> bytes:
        answer = await self._http.get(self.address(system) + path)
        answer.raise_for_status()
        return answer.content

    async def order(self, system: str, path: str, order: Json | None = None, *, method: str = "POST") -> int:
        """Give an order; the status of the answer. 409 is an answer too: it was done before."""
        answer = await self._http.request(method, self.address(system) + path, json=order or {})
        if answer.status_code not in (404, 409):
            answer.raise_for_status()
        return answer.status_code

    # ------------------------------------------------------------------ people

    async def token(self, persona: str) -> str:
        return str((await self.read("acmidm", "/sim/token", persona=persona))["access_token"])

    async def national_number(self, token: str) -> str:
        """What ACM/IDM tells whoever holds the token of a citizen."""
        url = f"{self.address('acmidm')}/op/v1/userinfo"
        answer = await self._http.get(url, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        return str(answer.json()["rrn"])

    # ------------------------------------------------------------------ what arrived

    async def mails(self, address: str) -> list[Json]:
        found: list[Json] = await self.read("desk", f"/systeem/smtp/sim/mailbox/{address}")
        return found

    async def texts(self, number: str) -> list[Json]:
        found: list[Json] = await self.read("sms", f"/sim/phone/{number}")
        return found

    async def statuses(self, insz: str, reference: str) -> list[Json]:
        """What DOSIS heard of a case, in order of arrival; of nobody without a national number."""
        if not insz:
            return []
        found = await self.read("dosis", f"/sim/mbp/{insz}")
        return [one for one in found if one["DossierNummer"] == reference]

    async def received(
        self, insz: str, email: str, phone: str, reference: str, said: Collection[str] = ()
    ) -> list[Received]:
        """Every message about one case, however often it came, oldest first.

        It names the case, or it is one of what was `said` of it: not every text needs to name its case.
        """
        mbp, mails, texts = await asyncio.gather(
            self.read("notificaties", f"/sim/mbp/{insz}") if insz else nothing(),
            self.mails(email) if email else nothing(),
            self.texts(phone) if phone else nothing(),
        )
        found = [
            Received(_instant(one["ReceivedAt"]), "MBP", one["Id"], one["Waarden"]["Status"])
            for one in mbp
            if one["Waarden"]["DossierNummer"] == reference
            for _ in range(1 + one["Repeats"])
        ]
        found += [
            Received(_instant(one["at"]), "EMAIL", one["messageId"], one["subject"], _enclosed(one))
            for one in mails
            if reference in one["subject"] or one["subject"] in said
        ]
        found += [
            Received(_instant(one["createdAt"]), "SMS", one["callback"] or one["sid"], one["body"])
            for one in texts
            if (reference in one["body"] or one["body"] in said)
            and one["status"] not in ("failed", "undelivered")
        ]
        return sorted(found, key=lambda one: one.at)

    async def entries(self, reference: str) -> list[Json]:
        """What accounting booked under a structured communication, 12 digits."""
        found: list[Json] = await self.read("accounting", "/sim/entries", reference=reference)
        return found

    async def bookings(self, reference: str) -> list[Json]:
        found: list[Json] = await self.read("planning", "/sim/bookings", reference=reference)
        return found

    async def checkouts(self, reference: str) -> list[Json]:
        """Payment pages, at whichever payment module they were opened."""
        found: list[Json] = await self.read("worldline", "/sim/checkouts", reference=reference)
        at_sips: list[Json] = await self.read("sips", "/sim/checkouts", reference=reference)
        return found + at_sips

    async def is_registered(self, insz: str) -> bool:
        """Whether MAGDA still keeps us informed about somebody."""
        return any(one["insz"] == insz for one in await self.read("magda", "/sim/registrations"))

    # ------------------------------------------------------------------ what people do there

    async def transfer(self, reference: str, amount: str, payer: str) -> None:
        """Somebody pays at the bank; accounting finds it in the statement."""
        order = {"reference": reference, "amount": amount, "payerName": payer}
        await self.order("accounting", "/sim/transfer", order)

    async def transfer_in_words(self, text: str, amount: str, persona: str) -> None:
        """A citizen of the sandbox pays at the bank and types the communication: the statement tells."""
        await self.order("desk", "/sim/bank/transfers", {"text": text, "amount": amount, "payer": persona})

    async def statement(self, form: str, *, drop: bool = False) -> Json:
        """The bank writes down what moved since the last time; `drop`: into the folder that Loket watches."""
        order = json.dumps({"form": form, "drop": drop}).encode()
        written: Json = await self.send("desk", "/sim/bank/statements", order, "application/json")
        return written

    async def deliver(self, reference: str) -> None:
        """The driver hands over what is booked for a case, with the button at the desk."""
        for booking in await self._booked(reference):
            await self._press(f"/sim/bookings/{booking['id']}/confirm", {"deliveredBy": "Wim Aerts"})

    async def miss(self, reference: str) -> None:
        for booking in await self._booked(reference):
            await self._press(f"/sim/bookings/{booking['id']}/miss", {"reason": "Niemand thuis"})

    async def move_slot(self, slot: str, hours: int) -> datetime:
        """The planner lets the van drive later; the new beginning."""
        known = {one["id"]: one for one in await self.read("planning", "/sim/slots")}[slot]
        moved = {
            name: (datetime.fromisoformat(known[name]) + timedelta(hours=hours)).isoformat()
            for name in ("startsAt", "endsAt")
        }
        await self._press(f"/sim/slots/{slot}/move", moved)
        return datetime.fromisoformat(moved["startsAt"])

    async def cancel_day(self, day: str, reason: str) -> None:
        """The planner calls a whole day off."""
        await self._press(f"/sim/days/{day}/cancel", {"reason": reason})

    async def open_day(self, day: str) -> None:
        """The planner lets the van drive after all, at other hours: two slots of ten addresses."""
        taken = {one["id"] for one in await self.read("planning", "/sim/slots")}
        added = 0
        for quarter in range(4 * 8, 4 * 18):
            starts_at = datetime.fromisoformat(day).replace(tzinfo=BRUSSELS) + timedelta(minutes=15 * quarter)
            if f"{starts_at:%Y-%m-%d-%H%M}" in taken:
                continue
            slot = {"startsAt": starts_at.isoformat(), "endsAt": (starts_at + timedelta(hours=2)).isoformat()}
            added += await self.order("planning", "/sim/slots", {**slot, "capacity": 10}) == 200
            if added == 2:
                return

    async def send_out_van(self, weekdays: Sequence[str], lead_days: int) -> str | None:
        """The planner lets the van drive on the first day that is allowed; that day."""
        for ahead in range(lead_days + 2, lead_days + 30):
            day = datetime.now(BRUSSELS).replace(hour=9, minute=0, second=0, microsecond=0)
            day += timedelta(days=ahead)
            if weekdays and DAYS[day.weekday()] not in weekdays:
                continue
            slot = {"startsAt": day.isoformat(), "endsAt": (day + timedelta(hours=3)).isoformat()}
            if await self.order("planning", "/sim/slots", {**slot, "capacity": 25}) == 200:
                return f"{day:%Y-%m-%d}"
        return None

    async def days_with_visits(self) -> set[str]:
        """The days on which the van still has to be somewhere."""
        bookings = await self.read("planning", "/sim/bookings")
        return {one["slotId"][: len("2026-12-04")] for one in bookings if one["status"] == "BOOKED"}

    async def make_room(self, places: int) -> bool:
        """The planner puts in more vans where fewer than `places` are free; whether that was needed."""
        slots = [one for one in await self.read("planning", "/sim/slots") if one["status"] == "OPEN"]
        short = places - sum(max(one["capacity"] - one["taken"], 0) for one in slots)
        if short <= 0 or not slots:
            return False
        more = -(-short // len(slots))
        for one in slots:
            order = {"capacity": max(one["capacity"], one["taken"]) + more}
            await self.order("planning", f"/sim/slots/{one['id']}", order, method="PUT")
        return True

    async def break_down(self, systems: Iterable[str]) -> None:
        for system in systems:
            await self._faults(system, "POST", DOWN)
        # Only new tokens: who is signed in stays so.
        await self._faults("acmidm", "POST", DOWN | {"path": "/op/v1/token"})

    async def break_service(self, system: str, path: str) -> None:
        """One of a system's services is down: those whose path begins so."""
        await self._faults(system, "POST", DOWN | {"path": path})

    async def forget(self, persona: str, service: str, *, back: bool = False) -> None:
        """One service of MAGDA finds nothing about somebody (30001), until `back`."""
        order = {"persona": persona, "service": service, "code": None if back else "30001"}
        await self.order("magda", "/sim/forced", order)

    async def mend(self) -> None:
        """Every system of the sandbox works again."""
        for system in (*SYSTEMS_THAT_FALL, "acmidm"):
            await self._faults(system, "DELETE")

    async def spoil(self, system: str, fault: Json) -> None:
        """Let a system misbehave in this way too."""
        await self._faults(system, "POST", fault)

    async def mend_one(self, system: str) -> None:
        await self._faults(system, "DELETE")

    async def money_at_the_module(self) -> Decimal:
        """What Worldline captured, less what it paid back, by its own records; in EUR."""
        captured = [
            one["amount"]
            for one in await self.read("worldline", "/sim/payments")
            if one["standing"] == "captured"
        ]
        returned = [
            one["amount"]
            for one in await self.read("worldline", "/sim/refunds")
            if one["standing"] == "refunded"
        ]
        return Decimal(sum(captured) - sum(returned)) / 100

    async def _faults(self, system: str, method: str, fault: Json | None = None) -> None:
        url = f"{self.address('desk')}/systeem/{system}/sim/faults"
        (await self._http.request(method, url, json=fault)).raise_for_status()

    async def _booked(self, reference: str) -> list[Json]:
        return [one for one in await self.bookings(reference) if one["status"] == "BOOKED"]

    async def _press(self, path: str, fields: dict[str, str]) -> None:
        """A button of the planning tool's page at the desk: a form, answered with the way back there."""
        answer = await self._http.post(self.address("planning") + path, data=fields)
        if answer.status_code not in (303, 409):
            raise httpx2.HTTPStatusError(answer.text[:200], request=answer.request, response=answer)


async def nothing() -> list[Json]:
    """What came to who has no such box."""
    return []


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _enclosed(mail: Json) -> str:
    """What an e-mail brings along, in a few words."""
    told = [one["filename"] for one in mail["attachments"] if one["contentType"] == "application/pdf"]
    calendar = mail["calendar"]
    if calendar is not None:
        told.append(f"calendar {calendar['method'].lower()}, sequence {calendar['sequence']}")
    return ", ".join(told)
