"""The ways that any procedure can go: each a script that reads what it needs from the definition.

What must have come of it is told by two: the stages and the way that was taken say what must have happened,
and the definition who must have heard of that, over which channel and in which order.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from loket.walk import afterwards, arrivals, offices, turn_queries
from loket.walk.citizen import PDF, Citizen, WalkFailed, expected_amount
from loket.walk.expectations import Expected
from loket.walk.journey import FINAL, Journey, Way
from loket.walk.promises import Moment, Promises
from loket.walk.scene import LONG_SECONDS, Ending, Scene, Script
from loket.walk.trying import refuses_outsiders

Json = dict[str, Any]

# fmt: off
PASSED = {
    # stage        what happens when it is passed
    "SCREENING":   ("ADMISSIBLE",),
    "ASSESSMENT":  ("ASSESSMENT_STARTED",),
    "DECISION":    ("APPROVED", "PARTLY_APPROVED"),
    "PAYMENT":     ("PAID", "STAGE_PASSED", "HANDED_OVER"),
    "PLANNING":    ("PLANNED",),
    "DELIVERY":    ("DELIVERED",),
    "PAYOUT":      ("PAID_OUT", "STAGE_PASSED"),
}
ENDS_IN = {"INADMISSIBLE": "SCREENING", "REJECTED": "DECISION", "CANCELLED": "PAYMENT"}
"""In which stage a case ends so."""
WITHDRAWN_AT = {
    # the last stage that has a person or another system wait, and where somebody withdraws then
    "DELIVERY":    ("AWAITING_DELIVERY",),
    "PAYOUT":      ("AWAITING_PAYOUT",),
    "ASSESSMENT":  ("ASSESSMENT", "AWAITING_ADVICE"),
    "PAYMENT":     ("AWAITING_PAYMENT",),
    "DECISION":    ("AWAITING_DECISION",),
    "SCREENING":   ("SCREENING",),
}
# fmt: on
DECIDED = ("APPROVED", "PARTLY_APPROVED", "REJECTED")
GOES_ON = ("COMPLETED", "VALIDITY_ENDING", "VALIDITY_ENDED", "RENEWAL_OFFERED")
"""What DOSIS hears of a case that has ended."""
STOPPED = ("INADMISSIBLE", "REJECTED", "WITHDRAWN", "CANCELLED")


# --- scripts ----------------------------------------------------------------------------------


async def straight(scene: Scene) -> list[Ending]:
    """All goes well: everybody does their part until it is done."""
    journey = await begin(scene, Way())
    return [await walked(journey, "COMPLETED")]


async def refused(scene: Scene) -> list[Ending]:
    """Whoever decides refuses it, with reasons."""
    journey = await begin(scene, Way(grants=False))
    return [await walked(journey, "REJECTED")]


async def inadmissible(scene: Scene) -> list[Ending]:
    """A handler finds it inadmissible; what was paid is paid back by itself."""
    journey = await begin(scene, Way(admits=False))
    return [await walked(journey, "INADMISSIBLE")]


async def outsider(scene: Scene) -> list[Ending]:
    """The rules find it inadmissible: lives elsewhere; what was paid is paid back by itself."""
    journey = await begin(scene, Way(admits=False), persona=scene.known.outsider)
    return [await walked(journey, "INADMISSIBLE")]


async def withdrawn(scene: Scene) -> list[Ending]:
    """Thinks better of it as late as may be; all that was begun is undone."""
    definition = scene.promises.definition
    at = next(at for stage, at in WITHDRAWN_AT.items() if stage in _waiting_stages(definition))
    journey = await begin(scene, Way(withdraws_at=at))
    return [await walked(journey, "WITHDRAWN")]


async def unpaid(scene: Scene) -> list[Ending]:
    """Does not pay: reminded as the definition says, then stopped or handed over to the director."""
    journey = await begin(scene, Way(pays=False))
    stages = [str(one) for one in journey.definition["stages"]]
    had_it = "delivery" in stages[: stages.index("payment")]
    goes_on = had_it or journey.definition["payment"].get("unpaid", "cancel") == "hand_over"
    return [await walked(journey, "COMPLETED" if goes_on and stages[0] != "payment" else "CANCELLED")]


async def free(scene: Scene) -> list[Ending]:
    """Asks what makes it free of charge; what is left, if anything, is paid."""
    journey = await begin(scene, Way(free=True))
    ending = await walked(journey, "COMPLETED")
    invoice = (await journey.look())["invoice"]
    usual = expected_amount(scene.place.procedure, journey.cart)
    if invoice is not None and Decimal(invoice["amount"]["amount"]) >= usual:
        raise WalkFailed(f"nothing was free: {invoice['amount']['amount']} EUR of {usual}")
    return [ending]


async def missed(scene: Scene) -> list[Ending]:
    """The van comes in vain; another day is chosen."""
    journey = await begin(scene, Way(misses=1))
    return [await walked(journey, "COMPLETED")]


async def no_advice(scene: Scene) -> list[Ending]:
    """An adviser is silent: reminded, and at the deadline the case goes on without."""
    silent = next(one["key"] for one in scene.promises.definition["advisers"] if one["kind"] != "MACHINE")
    journey = await begin(scene, Way(silent=silent))
    return [await walked(journey, "COMPLETED")]


async def not_together(scene: Scene) -> list[Ending]:
    """Who should apply with them does not agree: inadmissible."""
    journey = await begin(scene, Way(admits=False, answers="REFUSE"))
    return [await walked(journey, "INADMISSIBLE")]


async def ending(scene: Scene) -> list[Ending]:
    """What was granted ends: reminded, asked whether it is wanted again, a deposit given back."""
    journey = await begin(scene, Way())
    await journey.walk_on()
    await afterwards.follow(journey)
    return [await walked(journey, "COMPLETED")]


def variants(promises: Promises) -> dict[str, Script]:
    """Those that can happen under this definition, the straight one first."""
    told = promises.definition
    stages, rules = told["stages"], told.get("rules") or {}
    by_rule = (told.get("screening") or {}).get("by", "rule") == "rule"
    together = any("co_applicant" in one["when"] for one in rules.get("screening", ()))
    advisers = [one for one in told.get("advisers", ()) if one["kind"] != "MACHINE"]
    after = any(told.get(part) for part in ("validity", "renewal")) or bool(afterwards.deposits_in(told))
    possible: list[tuple[str, Script, bool]] = [
        ("straight", straight, True),
        ("refused", refused, bool(promises.body) and promises.body != "rule"),
        ("withdrawn", withdrawn, any(stage in _waiting_stages(told) for stage in WITHDRAWN_AT)),
        ("unpaid", unpaid, "payment" in stages),
        ("free", free, _can_be_free(told)),
        (_after_payment(told), outsider if by_rule else inadmissible, not by_rule or refuses_outsiders(told)),
        ("missed", missed, "delivery" in stages),
        ("no-advice", no_advice, "assessment" in stages and bool(advisers)),
        ("not-together", not_together, bool(told.get("co_applicant")) and (together or not by_rule)),
        ("ending", ending, after),
    ]
    return {name: script for name, script, can_be in possible if can_be}


def _after_payment(definition: Json) -> str:
    stages = definition["stages"]
    paid_first = "payment" in stages and stages.index("payment") < stages.index("screening")
    return "inadmissible-after-payment" if paid_first else "inadmissible"


def _waiting_stages(definition: Json) -> set[str]:
    """The stages in which a case waits for somebody, whatever the rules say."""
    stages = {str(one).upper() for one in definition["stages"]}
    if (definition.get("screening") or {}).get("by", "rule") == "rule":
        stages -= {"SCREENING"}
    if (definition.get("decision") or {}).get("by", "rule") == "rule":
        stages -= {"DECISION"}
    if (definition.get("assessment") or {}).get("by", "handler") == "rule":
        stages -= {"ASSESSMENT"}
    return stages


# --- beginning --------------------------------------------------------------------------------


async def begin(scene: Scene, way: Way, *, persona: str | None = None) -> Journey:
    """Somebody applies: the form by its schema, a cart by the catalogue, the papers that are asked."""
    promises, known = scene.promises, scene.known
    citizen = await scene.citizen(persona or known.persona, fits=known.entitled)
    await offices.open_ebox(scene.place.outside, citizen.insz, active=True)
    cart = basket(scene)
    journey = Journey(scene, citizen, promises, known, way, cart)
    if promises.definition.get("co_applicant"):
        await journey.find_companion()
    await citizen.start()
    await citizen.fill_in(
        known.answers, rules=promises.definition, cart=cart, goals=goals_of(promises.definition, way)
    )
    if cart:
        await citizen.fill_cart(cart)
    await add_papers(citizen)
    await citizen.resume()
    await citizen.submit()
    return journey


def _can_be_free(definition: Json) -> bool:
    """Whether it is free by what one fills in: age and income are what they are."""
    exempt = [one["when"] for one in (definition.get("catalogue") or {}).get("free", ())]
    return any("application." in when or "cart" in when for when in exempt)


def goals_of(definition: Json, way: Way) -> dict[str, bool]:
    """What else the citizen wants to hold: to pay, unless it shall be free; to apply with somebody."""
    exempt = [one["when"] for one in (definition.get("catalogue") or {}).get("free", ())]
    together = (definition.get("co_applicant") or {}).get("when")
    return dict.fromkeys(exempt, way.free) | ({together: True} if together else {})


def basket(scene: Scene) -> list[Json]:
    """What is known to be ordered; else one of the first product and of the second, and each deposit."""
    if scene.known.cart is not None:
        return scene.known.cart
    deposits = [one["key"] for one in afterwards.deposits_in(scene.promises.definition)]
    goods = [one for one in scene.place.procedure["catalogue"] if one["key"] not in deposits]
    if not goods:
        return []
    first, *others = goods
    options = [{"option": one["key"], "quantity": 1} for one in first["options"][:1]]
    lines = [{"product": first["key"], "quantity": 1, "options": options}]
    return lines + [
        {"product": key, "quantity": 1} for key in [*(one["key"] for one in others[:1]), *deposits]
    ]


async def add_papers(citizen: Citizen) -> None:
    """What the draft says that it cannot be taken without."""
    found = await citizen.client.ask(turn_queries.REQUIRED, id=citizen.draft["id"])
    for paper in found["application"]["requiredDocuments"]:
        if not paper["attached"]:
            await citizen.attach(f"{paper['key']}.pdf", PDF, paper["key"])


# --- what must have come of it ----------------------------------------------------------------


async def walked(journey: Journey, status: str) -> Ending:
    """Walk on to the end, see that it is the one that this way leads to, and say what must be heard of it.

    Raises:
        WalkFailed: it ended otherwise, or a stage was not passed as it must have been.
    """
    citizen, scene = journey.citizen, journey.scene
    state = await journey.walk_on()
    happened = await settled(journey, state)
    types = [str(one["type"]) for one in happened]
    if state["status"] != status:
        told = " → ".join(one["type"] for one in happened if one["status"] != one["previousStatus"])
        raise WalkFailed(f"the case ended as {state['status']}, not {status}: {told}")
    _check_stages(journey, status, types)
    promises = journey.promises
    # nobody is told of an invoice of nothing
    heeded = [one for one in happened if one["type"] != "PAYMENT_DUE" or state["invoice"] is not None]
    shown = [one["type"] for one in heeded if not _is_epilogue(one)]
    moments: list[Moment] = [
        tuple(str(one["type"]) for one in together)
        for _, together in groupby(heeded, key=lambda one: one["occurredAt"])
    ]
    booking = None
    if "PLANNED" in types:
        booking = "DELIVERED" if "DELIVERED" in types else "CANCELLED"
    entries, more = _books(journey, state, types)
    goes_on = journey.way.pays or "HANDED_OVER" not in types
    expected = Expected(
        status,
        promises.statuses(shown),
        promises.told(moments),
        entries=entries,
        more_entries=more,
        booking=booking,
        calendar=None,
        promises=promises,
        happened=None,
        payouts=journey.payouts,
        letters=_letters(journey, types),
        notices=types.count("DEFAULT_NOTICE_SENT"),
        agenda=journey.agenda,
        invoice=("PAID", "CREDITED") if goes_on else ("HANDED_OVER",),
        registered=journey.stays_registered,
    )
    scene.story.tell("case", f"walked {', '.join(scene.place.procedure['stages']).lower()}: {status}")
    return citizen, expected


async def settled(journey: Journey, state: Json) -> list[Json]:
    """Until all that follows has happened, letters and money that goes back included; the timeline then."""
    citizen, operator = journey.citizen, journey.scene.operator

    async def all_happened() -> list[Json] | None:
        found = await operator.client.ask(turn_queries.HAPPENED, reference=citizen.reference)
        happened: list[Json] = found["case"]["timeline"]["nodes"]
        types = [one["type"] for one in happened]
        letters = _letters(journey, types).count("EBOX")
        back = "PAID" in types and (state["status"] in STOPPED or "DEPOSIT_RETURNED" in types)
        done = types.count("LETTER_SENT") >= letters and (not back or "REFUNDED" in types)
        return happened if done else None

    await citizen.until(all_happened, "letters and refunds", seconds=LONG_SECONDS)
    await operator.retry_waiting(citizen.reference, "PAYMENT_POLL")
    await arrivals.settle(citizen, operator, seconds=LONG_SECONDS)
    found: list[Json] = await citizen.until(all_happened, "letters and refunds")
    return found


def _check_stages(journey: Journey, status: str, types: Sequence[str]) -> None:
    """Each stage up to the end was passed, in the order of the definition."""
    stages = [str(one) for one in journey.scene.place.procedure["stages"]]
    if status in ENDS_IN:
        stages = stages[: stages.index(ENDS_IN[status])]
    wanted = [] if status == "WITHDRAWN" else [PASSED[stage] for stage in stages]
    left = list(types)
    for events in [*wanted, (status,)]:
        places = [place for place, one in enumerate(left) if one in events]
        if not places:
            raise WalkFailed(f"after {' → '.join(types)} nothing says {' or '.join(events)}")
        del left[: places[0] + 1]


def _is_epilogue(event: Json) -> bool:
    """Whether it happened to an ended case: DOSIS goes on showing the end, but for what was granted."""
    ended = event["status"] in FINAL and event["previousStatus"] == event["status"]
    return ended and event["type"] not in GOES_ON


def _books(
    journey: Journey, state: Json, types: Sequence[str]
) -> tuple[dict[str, Decimal], list[tuple[str, Decimal]]]:
    """What accounting must have of it."""
    if state["invoice"] is None:
        return {}, []
    price = _price(journey, state)
    entries, more = {"INVOICE": price}, [("COSTS", cost) for cost in journey.costs]
    paid = "PAID" in types
    if paid:
        entries["PAYMENT"] = price
    if state["status"] in STOPPED:
        entries["CREDIT_NOTE"] = price + sum(journey.costs, Decimal(0))
        entries |= {"REFUND_DUE": price, "REFUND": price} if paid else {}
    return entries, [*more, *journey.entries]


def _price(journey: Journey, state: Json) -> Decimal:
    """As the catalogue says; of who is free of a part of it, as the invoice does."""
    told = Decimal(state["invoice"]["amount"]["amount"]) - sum(journey.costs, Decimal(0))
    if journey.way.free:
        return told
    return expected_amount(journey.scene.place.procedure, journey.cart)


def _letters(journey: Journey, types: Sequence[str]) -> list[str]:
    """Decisions and registered notices of default in the eBox; a notice that is not goes by ordinary post."""
    legal = bool((journey.definition.get("decision") or {}).get("legal_delivery"))
    notices = types.count("DEFAULT_NOTICE_SENT")
    decisions = sum(one in DECIDED for one in types) if legal else 0
    if not journey.registered_notice:
        return ["EBOX"] * decisions + ["NORMAL"] * notices
    return ["EBOX"] * (decisions + notices)
