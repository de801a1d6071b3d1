"""The civil servants: a handler, who looks at what the rules leave to a person, and an operator."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from loket.walk import queries
from loket.walk.citizen import Place
from loket.walk.client import Client
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
