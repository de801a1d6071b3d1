"""Who applies together with somebody: asked to confirm, signs in, and answers."""

from typing import Any
from uuid import uuid4

from loket.walk import turn_queries
from loket.walk.citizen import Citizen, WalkFailed
from loket.walk.client import Client
from loket.walk.scene import Scene

Json = dict[str, Any]

_DONE = {"CONFIRM": "agrees with", "REFUSE": "does not agree with"}


async def answer(scene: Scene, citizen: Citizen, persona: str, said: str) -> None:
    """`said`: CONFIRM or REFUSE; or nothing, and the last day passes."""
    place, case_id = scene.place, str(citizen.case["id"])
    if not said:
        await scene.operator.fire(case_id, "CO_APPLICANT_END", "the last day to confirm passes")
        return
    token = await place.outside.token(persona)
    client = Client(place.url, http=place.http, token=token, patience_seconds=place.seconds)
    found = (await client.ask(turn_queries.ASKED_OF_ME))["viewer"]["coApplications"]
    asked = next((one for one in found if one["reference"] == citizen.reference), None)
    if asked is None:
        raise WalkFailed(f"{persona} is asked to confirm, and does not see it: {found}")
    wish: Json = {"id": asked["id"], "idempotencyKey": uuid4().hex}
    if said == "CONFIRM":
        await client.do("coApplicationConfirm", turn_queries.AGREE, **wish)
    else:
        reason = {"reason": "Daar weet ik niets van."}
        await client.do("coApplicationRefuse", turn_queries.DISAGREE, **wish, input=reason)
    scene.story.tell("companion", f"{persona} {_DONE[said]} what {asked['applicant']} applied for")
    if scene.promises.messages.get("CO_APPLICANT_ASKED"):
        await citizen.until(
            lambda: _letters(citizen), f"{persona} to find the question in Mijn Burgerprofiel"
        )


async def _letters(citizen: Citizen) -> list[Json]:
    """What the companion got about the case."""
    found = await citizen.place.outside.read("notificaties", f"/sim/mbp/{citizen.companion}")
    return [one for one in found if one["Waarden"]["DossierNummer"] == citizen.reference]
