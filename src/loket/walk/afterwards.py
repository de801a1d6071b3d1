"""What goes on after a case was completed: it holds for a time, is asked again, a deposit comes back."""

from typing import Any

from loket.walk import turn_queries
from loket.walk.citizen import WalkFailed
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
