"""What goes on after a case was completed: it holds for a time, is asked again, a deposit comes back."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

from loket.walk import turn_queries
from loket.walk.citizen import WalkFailed, expected_amount
from loket.walk.journey import Journey
from loket.walk.scene import LONG_SECONDS

Json = dict[str, Any]


async def follow(journey: Journey) -> None:
    """From the completed case to its very end."""
    definition = journey.definition
    validity, renewal = definition.get("validity"), definition.get("renewal")
    if validity:
        for days in sorted(validity.get("reminder_days", ()), reverse=True):
            if await journey.fire("VALIDITY_REMINDER", f"{days} days before it ends"):
                await journey.citizen.happens("VALIDITY_ENDING", seconds=LONG_SECONDS)
    if renewal:
        await _renew(journey)
    if validity:
        await journey.scene.operator.fire(journey.case_id, "VALIDITY_END", "its last day is over")
        await journey.citizen.happens("VALIDITY_ENDED", seconds=LONG_SECONDS)
    if deposit_of(journey):
        await _release(journey)


def deposit_of(journey: Journey) -> Decimal:
    """What of the cart comes back, in EUR."""
    deposits = {one["key"] for one in deposits_in(journey.definition)}
    lines = [one for one in journey.cart if one["product"] in deposits]
    return expected_amount(journey.scene.place.procedure, lines)


def deposits_in(definition: Json) -> list[Json]:
    return [one for one in (definition.get("catalogue") or {}).get("products", ()) if one.get("deposit")]


async def _release(journey: Journey) -> None:
    """Finance gives the deposit back whole: what came online goes back by itself."""
    finance, amount = journey.scene.finance[0], deposit_of(journey)
    await journey.fire("DEPOSIT_END", "the days are over in which a deposit is held")
    wish = {"caseId": journey.case_id, "idempotencyKey": uuid4().hex}
    note = (await finance.client.do("depositReturn", turn_queries.RELEASE, **wish))["creditNote"]
    if Decimal(note["amount"]["amount"]) != amount:
        raise WalkFailed(f"a deposit of {amount} EUR was held, {note['amount']['amount']} is released")
    journey.scene.story.tell("finance", f"releases the deposit of {amount} EUR: credit note {note['number']}")
    await journey.citizen.happens("DEPOSIT_RETURNED", seconds=LONG_SECONDS)
    journey.entries += [(kind, amount) for kind in ("CREDIT_NOTE", "REFUND_DUE", "REFUND")]


async def _renew(journey: Journey) -> None:
    """A draft is opened, filled in as before, and the citizen is asked; who thanks no, throws it away."""
    citizen, scene = journey.citizen, journey.scene
    await scene.operator.fire(journey.case_id, "RENEWAL", "it is time to ask whether it is wanted again")
    await citizen.happens("RENEWAL_OFFERED", seconds=LONG_SECONDS)
    found = (await citizen.client.ask(turn_queries.MY_DRAFTS))["viewer"]["applications"]["nodes"]
    key = scene.place.procedure["key"]
    drafts = [one for one in found if one["status"] == "DRAFT" and one["procedure"]["key"] == key]
    if len(drafts) != 1:
        raise WalkFailed(f"one draft should lie ready to ask it again, there are {len(drafts)}")
    filled = ", ".join(sorted(drafts[0]["answers"]))
    scene.story.tell("citizen", f"finds a draft that is filled in already: {filled}; and needs it no more")
    await citizen.client.do("applicationDiscard", turn_queries.DISCARD, id=drafts[0]["id"])
