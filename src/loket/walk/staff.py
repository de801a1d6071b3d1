"""The civil servants: handlers, who look at what the rules leave to a person, and all who work with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from loket.walk import premium_queries, queries
from loket.walk.citizen import Place
from loket.walk.client import Client, Refused
from loket.walk.story import Story

Json = dict[str, Any]

PERSONAS = ("hilde", "greet", "sofie", "astrid", "sandra", "filip", "farah")
"""Two handlers and an operator, an adviser, the secretariat, two people of finance."""


async def at_work(place: Place, story: Story) -> "dict[str, Servant]":
    """Everybody of the municipality, by persona."""
    return {persona: await Servant.at_work(place, persona, story) for persona in PERSONAS}


@dataclass
class Servant:
    """Somebody of the municipality, signed in with a token of ACM/IDM."""

    place: Place
    persona: str
    story: Story
    client: Client

    @classmethod
    async def at_work(cls, place: Place, persona: str, story: Story) -> "Servant":
        token = await place.outside.token(persona)
        return cls(
            place,
            persona,
            story,
            Client(place.url, http=place.http, token=token, patience_seconds=place.seconds),
        )

    # ------------------------------------------------------------------ handling

    async def find_task(self, kind: str, reference: str) -> Json | None:
        """An open task on this case, in the list of what people have to settle."""
        found = (await self.client.ask(queries.OPEN_TASKS, kind=kind))["tasks"]["nodes"]
        return next((one for one in found if one["case"]["reference"] == reference), None)

    async def take_on(self, case_id: str) -> None:
        await self.client.do("caseAssign", queries.ASSIGN, id=case_id)
        self.story.tell("handler", "takes the case on")

    async def reopen(self, case_id: str, stage: str, reason: str) -> None:
        wish = {"stage": stage, "reason": reason}
        await self.client.do("caseReopen", queries.REOPEN, id=case_id, input=wish)
        self.story.tell("handler", f"reopens the case: {reason}")

    async def declare_admissible(self, case_id: str) -> None:
        await self.client.do("caseDeclareAdmissible", queries.DECLARE_ADMISSIBLE, id=case_id)
        self.story.tell("handler", "declares it admissible")

    async def declare_inadmissible(self, case_id: str, *, legal: str, fact: str) -> None:
        wish = {"motivationLegal": legal, "motivationFactual": fact}
        await self.client.do("caseDeclareInadmissible", queries.DECLARE_INADMISSIBLE, id=case_id, input=wish)
        self.story.tell("handler", f"stands by it: {fact}")

    async def ask(self, case_id: str, question: str) -> None:
        await self.client.do(
            "caseRequestInformation", queries.REQUEST_INFORMATION, id=case_id, question=question
        )
        self.story.tell("handler", f"asks: {question}")

    async def grant(self, case_id: str) -> None:
        wish = {"granted": True}
        await self.client.do(
            "decisionTake", queries.DECIDE, caseId=case_id, input=wish, idempotencyKey=uuid4().hex
        )
        self.story.tell("handler", "approves the application")

    # ------------------------------------------------------------------ keeping it running

    async def fire(self, case_id: str, kind: str, told: str) -> None:
        """Let a deadline come now."""
        await self.client.do("timerFire", queries.FIRE, caseId=case_id, kind=kind)
        self.story.tell("time", told)

    async def retry_waiting(self, reference: str, kind: str) -> None:
        """Have done now what would be done hours later, such as asking once more about a payment page."""
        for one in await self.effects(reference):
            if one["kind"] == kind and one["state"] == "PENDING":
                await self.client.do("effectRetry", queries.RETRY, id=one["id"])
                self.story.tell(
                    "operator", "has the payment module asked now what it would be asked hours later"
                )

    async def effects(self, reference: str) -> list[Json]:
        found: list[Json] = (await self.client.ask(queries.EFFECTS, reference=reference))["case"]["effects"]
        return found

    async def open_tasks(self, reference: str) -> list[str]:
        tasks = (await self.client.ask(queries.EFFECTS, reference=reference))["case"]["tasks"]
        return [one["kind"] for one in tasks if one["status"] == "OPEN"]

    async def failed_effects(self, reference: str) -> list[Json]:
        found = (await self.client.ask(queries.FAILED_EFFECTS))["failedEffects"]["nodes"]
        return [one for one in found if one["case"] and one["case"]["reference"] == reference]

    # ------------------------------------------------------------------ weighing an application

    async def premium(self, reference: str) -> Json:
        """Checks, advice, decision and payouts of a case."""
        found: Json = (await self.client.ask(premium_queries.PREMIUM, reference=reference))["case"]
        return found

    async def replace_check(self, check: Json, document: Json, remark: str) -> None:
        wish = {"documentId": document["id"], "remark": remark}
        await self.client.do(
            "checkReplaceByDocument", premium_queries.CHECK_REPLACE, id=check["id"], input=wish
        )
        self.story.tell("handler", f"lets {document['filename']} stand in for {check['kind']}: {remark}")

    async def consult(self, case_id: str, adviser: str) -> Json:
        """Ask an adviser of the procedure what it always asks."""
        payload = await self.client.do(
            "adviceRequest", premium_queries.ADVICE_REQUEST, caseId=case_id, input={"adviser": adviser}
        )
        asked: Json = payload["advice"]
        self.story.tell("handler", f"asks advice of {asked['title']}, until {asked['dueOn']}")
        return asked

    async def advise(self, advice: Json, opinion: str, text: str) -> None:
        wish = {"opinion": opinion, "text": text}
        await self.client.do("adviceGive", premium_queries.ADVICE_GIVE, id=advice["id"], input=wish)
        self.story.tell("adviser", f"{advice['title']}: {opinion.lower()}: {text}")

    # ------------------------------------------------------------------ having it decided

    async def prepare(self, case_ids: Sequence[str], proposal: Json | None = None) -> None:
        """Draft the decisions, by the rules or as `proposal` says."""
        payload = await self.client.do(
            "decisionPrepare",
            premium_queries.PREPARE,
            caseIds=case_ids,
            input=proposal,
            idempotencyKey=uuid4().hex,
        )
        _all_done("decisionPrepare", payload)
        self.story.tell("handler", f"prepares {len(case_ids)} decision(s)")

    async def send_to_minutes(self, case_ids: Sequence[str]) -> str:
        """Put them on one agenda item; our name of it."""
        payload = await self.client.do(
            "decisionSendToMinutes",
            premium_queries.SEND_TO_MINUTES,
            caseIds=case_ids,
            idempotencyKey=uuid4().hex,
        )
        _all_done("decisionSendToMinutes", payload)
        item = payload["agendaItem"]
        self.story.tell("handler", f"sends it to the minutes system: “{item['title']}”")
        return str(item["externalIdentifier"])

    async def confirm(self, case_id: str, proposal: Json) -> None:
        await self.client.do(
            "decisionConfirm",
            premium_queries.CONFIRM,
            caseId=case_id,
            input=proposal,
            idempotencyKey=uuid4().hex,
        )
        self.story.tell("handler", f"confirms what was decided: {proposal['outcome']}")

    # ------------------------------------------------------------------ paying out

    async def order(self, case_id: str) -> Json:
        payload = await self.client.do(
            "payoutOrder", premium_queries.ORDER, caseId=case_id, idempotencyKey=uuid4().hex
        )
        payout: Json = payload["payout"]
        who = "handler" if self.persona == "sofie" else "finance"
        self.story.tell(who, f"orders the payout of {payout['amount']['amount']} EUR to {payout['account']}")
        return payout

    async def approve(self, payout: Json) -> None:
        await self.client.do(
            "payoutApprove", premium_queries.APPROVE, id=payout["id"], idempotencyKey=uuid4().hex
        )
        self.story.tell("finance", f"{self.persona} approves the payout")

    # ------------------------------------------------------------------ invoices

    async def credit(self, invoice: Json, amount: str, reason: str) -> None:
        """Take `amount` (EUR) of an invoice back."""
        wish = {"amount": amount, "reason": reason}
        payload = await self.client.do(
            "invoiceCredit", queries.CREDIT, id=invoice["id"], input=wish, idempotencyKey=uuid4().hex
        )
        self.story.tell(
            "finance", f"makes credit note {payload['creditNote']['number']}: {amount} EUR, {reason}"
        )

    # ------------------------------------------------------------------ the bank

    async def import_statement(self, statement: Json) -> None:
        """Bring in a file of the bank."""
        wish = {"name": statement["name"], "content": statement["content"]}
        await self.client.do(
            "bankStatementImport", queries.IMPORT_STATEMENT, input=wish, idempotencyKey=uuid4().hex
        )
        self.story.tell("finance", f"imports {statement['name']}: {statement['lines']} movement(s)")

    async def find_movement(self, text: str) -> Json | None:
        """Money of which Loket does not know by itself what it is for."""
        found = (await self.client.ask(queries.OPEN_MOVEMENTS, text=text))["bankEntries"]["nodes"]
        return next((one for one in found if text in one["remittance"]), None)

    async def match(self, movement: Json, suggestion: Json) -> None:
        """Say that this money pays the invoice that is suggested."""
        await self.client.do(
            "paymentMatch",
            queries.MATCH,
            id=movement["id"],
            input={"invoiceId": suggestion["invoiceId"]},
            idempotencyKey=uuid4().hex,
            expectedVersion=movement["version"],
        )
        self.story.tell("finance", f"says that it pays invoice {suggestion['invoiceNumber']}")

    # ------------------------------------------------------------------ post

    async def make_batch(self) -> tuple[Json | None, bytes]:
        """The letters of the day in one file; None when none waits."""
        payload = await self.client.do(
            "letterBatchMake", premium_queries.BATCH_MAKE, idempotencyKey=uuid4().hex
        )
        batch: Json | None = payload["batch"]
        if batch is None:
            return None, b""
        content = await self.client.get(batch["url"])
        self.story.tell("secretary", f"has print batch {batch['number']} made: {batch['size']} letter(s)")
        return batch, content

    async def prove_batch(self, batch: Json, proof: str) -> None:
        await self.client.do("letterBatchProof", premium_queries.BATCH_PROOF, id=batch["id"], csv=proof)
        self.story.tell("secretary", f"hands in the proof of posting of batch {batch['number']}")


def _all_done(field: str, payload: Json) -> None:
    """Raises `Refused` where one case of a list was refused."""
    for one in payload["results"]:
        if one["errors"]:
            raise Refused(field, one["errors"])
