"""Both payment modules as the tests drive them: what the payer does there, and what each then says to us."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx2

from loket import payments
from loket.records import Case, Invoice, Payment
from loket.settings import PaymentModule
from loket.work import the_system
from served import SIPS, WORLDLINE, Served
from test_hooks import invoice_of, worldline_signature

Json = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One payment module behind its sandbox. It tells nothing by itself: `begin` has its notices held."""

    name: PaymentModule

    async def begin(self, world: Served, case: Case, *, invoice: Invoice | None = None) -> Payment:
        """As a citizen begins to pay, where this module was chosen."""
        world.loket.settings = replace(world.loket.settings, payment_module=self.name)
        invoice = invoice or await invoice_of(world, case)
        async with world.loket.work(the_system()) as work:
            order = await payments.start(work, invoice.id)
        assert order.module == self.name
        hook = f"{world.url}/hooks/payments/{self.name}"
        checkout = await world.loket.systems.payments[self.name].create_checkout(
            key=order.payment_id,
            reference=order.reference,
            amount=order.amount,
            return_url=f"{hook}/return",
            language="nl",
            expires_in=order.expires_in,
            webhook_url=hook,
        )
        async with world.loket.work(the_system()) as work:
            return await payments.checkout_opened(work, order.payment_id, checkout)

    async def acts(self, world: Served, payment: Payment, action: str = "pay") -> None:
        await world.order(self.name, f"checkouts/{payment.checkout_id}/{action}")

    async def hold(self, world: Served, mode: str = "hold") -> None:
        url = f"{world.house.config.urls[self.name]}/sim/callbacks/rule"
        assert (await world.client.put(url, json={"mode": mode})).is_success

    async def settings(self, world: Served, **changed: object) -> None:
        url = f"{world.house.config.urls[self.name]}/sim/settings"
        assert (await world.client.put(url, json=changed)).is_success

    async def fails(self, world: Served, **fault: object) -> None:
        url = f"{world.house.config.urls[self.name]}/sim/faults"
        assert (await world.client.post(url, json=fault)).is_success

    def notices(self, world: Served, payment: Payment) -> list[bytes]:
        """What the module would tell of a payment, in the order in which it came about."""
        kept = world.house.states[self.name].all("callback")
        return [one["body"].encode() for one in kept if str(payment.checkout_id) in one["body"]]

    async def tell(self, world: Served, body: bytes) -> None:
        """A fact is never refused, whatever it is and however often it comes."""
        path = f"/hooks/payments/{self.name}"
        answer = await world.client.post(path, content=body, headers=self._headers(body))
        assert answer.status_code == 204, answer.text

    async def returns(self, world: Served, payment: Payment) -> httpx2.Response:
        """The payer's browser comes back from the module."""
        path = f"/hooks/payments/{self.name}/return"
        if self.name is PaymentModule.WORLDLINE:
            asked = {"RETURNMAC": payment.return_mac or "", "hostedCheckoutId": payment.checkout_id or ""}
            return await world.client.get(path, params=asked)
        url = f"{world.house.config.urls[self.name]}/sim/checkouts"
        (found,) = [one for one in (await world.client.get(url)).json() if one["id"] == payment.checkout_id]
        return await world.client.post(path, data=found["back"] or {})

    def paid(self, reference: str, checkout_id: str, *, cents: int = 2800) -> bytes:
        """A notice that money came, as the module would write and sign it."""
        if self.name is PaymentModule.SIPS:
            return self._sealed(amount=str(cents), orderId=reference, transactionReference=checkout_id)
        return self._event(
            "payment.captured", "CAPTURED", f"{_number(checkout_id)}_0", reference, checkout_id, cents
        )

    def charged_back(
        self, page: str | None, reference: str, *, cents: int = 2800, won: bool = False, key: str = "3"
    ) -> bytes:
        """A notice that the payer's bank took money back, or gave it back."""
        checkout_id = str(page)
        if self.name is PaymentModule.SIPS:
            return self._sealed(
                amount="2800", orderId=reference, transactionReference=checkout_id,
                chargebackId=f"{checkout_id}-{key}", chargebackAmount=str(cents), chargebackDate="2026-11-20",
                chargebackStatus="REVERSED" if won else "CHARGED_BACK",
            )  # fmt: skip
        status = "CHARGEBACK_REVERSED" if won else "CHARGEBACKED"
        id = f"{_number(checkout_id)}_{key}"
        return self._event(f"payment.{status.lower()}", status, id, reference, checkout_id, cents)

    def _headers(self, body: bytes) -> Mapping[str, str]:
        if self.name is PaymentModule.WORLDLINE:
            return worldline_signature(body)
        return {"Content-Type": "application/x-www-form-urlencoded"}

    def _sealed(self, **fields: str) -> bytes:
        told = {
            "currencyCode": "978",
            "merchantId": SIPS["merchant_id"],
            "responseCode": "00",
            "transactionDateTime": datetime.now(UTC).isoformat(),
            **fields,
        }
        data = "|".join(f"{name}={value}" for name, value in told.items())
        seal = hmac.new(SIPS["secret_key"].encode(), data.encode(), hashlib.sha256).hexdigest()
        return urlencode({"Data": data, "Seal": seal, "InterfaceVersion": "HP_2.20"}).encode()

    def _event(self, kind: str, status: str, id: str, reference: str, checkout_id: str, cents: int) -> bytes:
        told: Json = {
            "id": id,
            "status": status,
            "statusOutput": {"statusCode": 9},
            "paymentOutput": {
                "amountOfMoney": {"amount": cents, "currencyCode": "EUR"},
                "references": {"merchantReference": reference},
            },
            "hostedCheckoutSpecificOutput": {"hostedCheckoutId": checkout_id},
        }
        event = {
            "apiVersion": "v1",
            "id": str(uuid4()),
            "created": "2026-11-20T09:00:00+01:00",
            "merchantId": WORLDLINE["merchant_id"],
            "type": kind,
            "payment": told,
        }
        return json.dumps(event).encode()


def _number(checkout_id: str) -> int:
    return int(hashlib.sha256(checkout_id.encode()).hexdigest()[:8], 16)
