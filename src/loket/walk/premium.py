"""The ways that a premium can go: each a script for citizens, civil servants and the outside world."""

from decimal import Decimal
from typing import Any

from loket.walk import offices
from loket.walk.citizen import WalkFailed, iban
from loket.walk.road import Road, known_premium, post_letters, premium_of
from loket.walk.scene import LONG_SECONDS, Ending, Scene, Script

Json = dict[str, Any]

DECISIONS = ("APPROVED", "PARTLY_APPROVED", "REJECTED")
"""Events of which the letter with legal value says all."""
CLOSED = "AC04"
"""What a bank says of an account that is closed (ISO 20022)."""


# --- all the way ------------------------------------------------------------------------------


async def granted(scene: Scene) -> list[Ending]:
    """Applies, is checked and advised on, the college grants all, two people pay it out."""
    road = await Road.begin(scene)
    await road.to_payout()
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


async def refused(scene: Scene) -> list[Ending]:
    """Does not meet the conditions: refused, by registered post, with the way to appeal."""
    road = await Road.begin(scene, premium_of(scene).none, ebox=False)
    await road.to_decision()
    await road.decide("accepted")
    await road.happens("REJECTED")
    await road.delivered()
    return [road.ending("REJECTED")]


async def partly(scene: Scene) -> list[Ending]:
    """Gets the first of what was asked, and not the rest."""
    premium = premium_of(scene)
    road = await Road.begin(scene, premium.partly)
    await road.to_decision()
    await road.decide("accepted")
    await road.happens("PARTLY_APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(road.worth(premium.asked[:1]), by="pain002")
    return [road.ending("COMPLETED")]


# --- questions and advice ---------------------------------------------------------------------


async def incomplete(scene: Scene) -> list[Ending]:
    """Something is missing: asked, answered, and then granted."""
    road = await Road.begin(scene)
    await road.apply()
    handler = scene.social_service
    await handler.take_on(road.case_id)
    await handler.ask(road.case_id, "Wilt u ons het attest van uw ziekenfonds bezorgen?")
    await road.happens("INFORMATION_REQUESTED")
    waits = (await road.citizen.look())["suspensions"]
    stands_still = bool(waits) and waits[-1]["endedOn"] is None
    if stands_still is not scene.place.procedure["term"]["suspendable"]:
        raise WalkFailed(f"the term stands still, or runs on, while it should not: {waits}")
    scene.story.tell("case", f"the term {'stands still' if stands_still else 'runs on'} meanwhile")
    await scene.operator.fire(road.case_id, "ANSWER_REMINDER", "a week passes without an answer")
    await road.happens("INFORMATION_REMINDED")
    await road.citizen.supply("Mijn ziekenfonds bezorgt het u deze week.")
    await road.happens("INFORMATION_SUPPLIED")
    await road.declare_admissible()
    await road.checked()
    await road.advised()
    await road.propose()
    return await _grant_and_pay(road)


async def no_answer(scene: Scene) -> list[Ending]:
    """Something is missing and nobody answers: the handler goes on with what there is."""
    road = await Road.begin(scene)
    await road.apply()
    handler = scene.social_service
    await handler.ask(road.case_id, "Op welk nummer kunnen wij u bereiken?")
    await road.happens("INFORMATION_REQUESTED")
    await scene.operator.fire(road.case_id, "ANSWER", "the last day to answer passes")
    await road.happens("INFORMATION_LAPSED")
    await road.declare_admissible()
    await road.checked()
    await road.advised()
    await road.propose()
    return await _grant_and_pay(road)


async def no_reaction(scene: Scene) -> list[Ending]:
    """An adviser is silent: reminded, and at the deadline the case goes on without."""
    road = await Road.begin(scene)
    await road.to_assessment()
    await road.advised(silent=(*road.premium.by_itself, *road.premium.advisers)[0])
    await road.propose()
    return await _grant_and_pay(road)


# --- the body ---------------------------------------------------------------------------------


async def postponed(scene: Scene) -> list[Ending]:
    """The college postpones; the item comes back under another name, and is granted then."""
    road = await Road.begin(scene)
    await road.to_decision()
    item = await road.item()
    await offices.sit(scene.place.outside, item, "delayed", tell=True)
    scene.story.tell("college", "wants to know more first: delayed")
    await road.happens("DECISION_POSTPONED")
    await offices.make_room(scene.place.outside, road.promises.body)
    await offices.bring_back(
        scene.place.outside, (await offices.items(scene.place.outside, road.citizen.item))[-1]
    )
    scene.story.tell("secretary", "puts its successor on the next agenda; nobody tells Loket")
    await scene.operator.fire(road.case_id, "MINUTES_POLL", "Loket looks in the minutes system")
    await road.happens("DECISION_ON_AGENDA")
    await road.decide("accepted", agenda=["delayed"])
    await road.happens("APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


async def modified(scene: Scene) -> list[Ending]:
    """The college decides otherwise than proposed: the handler confirms what that comes to."""
    road = await Road.begin(scene)
    await road.to_decision()
    less = road.amount - Decimal(5)
    text = f"<p>In dossier {road.citizen.reference} wordt {less} euro toegekend.</p>"
    await road.decide("accepted_but_modified", decision=text)
    await road.happens("DECISION_MODIFIED")
    handler = scene.social_service
    await road.citizen.until(
        lambda: handler.find_task("CONFIRM_DECISION", road.citizen.reference), "the task to confirm"
    )
    await road.citizen.until(road.is_signed, "the signatures")
    outcome = {"outcome": "PARTLY_GRANTED", "amount": str(less)}
    motivation = {
        "motivationLegal": "Reglement, artikel 6: wie beslist, kan het bedrag aanpassen.",
        "motivationFactual": "Een eerdere tussenkomst van 5 euro werd aangerekend.",
    }
    await handler.confirm(road.case_id, outcome | motivation)
    await road.happens("PARTLY_APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(less)
    return [road.ending("COMPLETED")]


async def listed(scene: Scene) -> list[Ending]:
    """Three cases on one agenda item with a closed annex: granted, in part, and refused."""
    premium = premium_of(scene)
    fitting = [premium.entitled, premium.partly or premium.entitled, premium.none]
    roads = [await Road.begin(scene, fits) for fits in fitting]
    for road in roads:
        await road.to_assessment()
        await road.advised()
    handler = scene.social_service
    case_ids = [road.case_id for road in roads]
    await handler.prepare(case_ids)
    for road in roads:
        await road.happens("DECISION_PREPARED", "DECISION_PENDING")
    await offices.make_room(scene.place.outside, roads[0].promises.body)
    item = await handler.send_to_minutes(case_ids)
    for road in roads:
        road.citizen.item = item
        await road.happens("DECISION_ON_AGENDA", seconds=LONG_SECONDS)
    await roads[0].decide("accepted")
    ends = ("APPROVED", "PARTLY_APPROVED" if premium.partly else "APPROVED", "REJECTED")
    for road, end in zip(roads, ends, strict=True):
        road.agenda = ["accepted"]
        await road.happens(*([end] if end == "REJECTED" else [end, "PAYOUT_DUE"]))
        await road.delivered()
    await roads[0].pay(roads[0].amount)
    await roads[1].pay(roads[1].worth(premium.asked[: 1 if premium.partly else None]))
    return [
        road.ending("REJECTED" if end == "REJECTED" else "COMPLETED")
        for road, end in zip(roads, ends, strict=True)
    ]


async def withdrawn(scene: Scene) -> list[Ending]:
    """Withdraws after the decision, with the payout ordered and not approved: nothing is paid."""
    road = await Road.begin(scene)
    await road.to_payout()
    await road.order()
    await road.citizen.withdraw("Ik heb het niet meer nodig.")
    await road.happens("WITHDRAWN")
    payout = (await road.look())["payouts"][-1]
    if payout["status"] != "CANCELLED":
        raise WalkFailed(f"the case was withdrawn, and its payout is {payout['status']}")
    return [road.ending("WITHDRAWN")]


async def check_replaced(scene: Scene) -> list[Ending]:
    """MAGDA has nothing of this person: a document that the applicant adds stands in for the check."""
    road = await Road.begin(scene)
    check, service = road.premium.main_check
    await scene.place.outside.forget(road.citizen.persona, service)
    try:
        found = await road.to_assessment()
        if found[check] != "UNKNOWN":
            raise WalkFailed(f"MAGDA has no data, and yet the check is {found[check]}")
        await road.advised()
        await road.replaced(check)
        await road.propose()
        return await _grant_and_pay(road)
    finally:
        await scene.place.outside.forget(road.citizen.persona, service, back=True)


async def at_the_counter(scene: Scene) -> list[Ending]:
    """Comes to the counter with nothing but an address: entered by staff, told by letter."""
    road = await Road.at_the_counter(scene, "Rosa Baeten")
    citizen = road.citizen
    home = {"street": "Molenweg", "number": str(scene.number()), "postalCode": "2999", "city": "Lindebeke"}
    given, _, family = citizen.name.partition(" ")
    await citizen.start_at_the_counter(
        {"givenName": given, "familyName": family, "birthDate": "1948-05-17", "address": home}
    )
    account = {"payout": {"iban": iban(scene.number()), "holder": citizen.name}}
    await citizen.fill_in(road.premium.answers | account)
    await citizen.submit()
    await road.happens("SUBMITTED")
    await road.admit("SOURCES_UNKNOWN")
    checks = await road.checked()
    scene.story.tell("handler", f"reads the papers on the desk, as no source knows who this is: {checks}")
    await road.advised(asking=False)
    await road.propose(
        {
            "outcome": "GRANTED",
            "benefits": [{"key": key, "granted": True} for key in road.premium.asked],
            "motivationLegal": "Reglement, artikel 2.",
            "motivationFactual": "De aanvrager toonde het attest van het ziekenfonds aan het loket.",
        }
    )
    await road.decide("accepted")
    await road.happens("APPROVED", "PAYOUT_DUE")
    await post_letters(scene, citizen, 4)
    await road.pay(road.amount)
    await post_letters(scene, citizen, 5)
    letters = ["REGISTERED" if one in DECISIONS else "NORMAL" for one in road.promises.told(road.happened)]
    return [road.ending("COMPLETED", statuses=[], channels=(), letters=letters)]


# --- the bank ---------------------------------------------------------------------------------


async def rejected_iban(scene: Scene) -> list[Ending]:
    """The bank knows the account no more: the applicant gives another, and is paid once."""
    road = await Road.begin(scene)
    await road.to_payout()
    order = await road.approve(await road.order())
    await offices.reject(scene.place.outside, order, CLOSED)
    scene.story.tell("bank", "refuses in a pain.002: the account is closed (AC04)")
    road.payouts.append(("REJECTED", road.amount))
    await road.happens("ACCOUNT_NEEDED")
    await road.citizen.correct_account(iban(scene.number()))
    await road.happens("ACCOUNT_CORRECTED")
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


async def returned(scene: Scene) -> list[Ending]:
    """The money comes back after the end: reopened, another account asked, and paid again."""
    road = await Road.begin(scene)
    await road.to_payout()
    order = await road.pay(road.amount)
    await offices.give_back(scene.place.outside, order, CLOSED)
    scene.story.tell("bank", "of the citizen sends the money back: the account is closed (AC04)")
    road.payouts = [("RETURNED", road.amount)]
    await road.happens_after_the_end("PAYOUT_RETURNED")
    handler = scene.social_service
    await road.citizen.until(
        lambda: handler.find_task("PAYOUT_RETURNED", road.citizen.reference), "the task of returned money"
    )
    await handler.reopen(road.case_id, "PAYOUT", "De bank stuurde het geld terug.")
    await road.happen_together("REOPENED", "ACCOUNT_NEEDED")
    await road.citizen.correct_account(iban(scene.number()))
    await road.happens("ACCOUNT_CORRECTED")
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


# --- when a source is away --------------------------------------------------------------------


async def check_down(scene: Scene) -> list[Ending]:
    """A service of MAGDA is down: the check waits visibly, and is answered when it is back."""
    road = await Road.begin(scene)
    await road.apply()
    outside = scene.place.outside
    try:
        _, service = road.premium.main_check
        await outside.break_service("magda", f"/{service}Dienst")
        scene.story.tell("outside", f"MAGDA's {service} is down")
        await road.admit()
        await road.citizen.happens("EFFECT_RETRIED")
        checks = {one["kind"]: one["status"] for one in (await road.look())["checks"]}
        if "RUNNING" not in checks.values():
            raise WalkFailed(f"the source is down, and yet the checks are {checks}")
        scene.story.tell("case", f"shows what it waits for: {checks}")
    finally:
        await outside.mend()
    scene.story.tell("outside", "the service is back")
    await road.checked(seconds=LONG_SECONDS)
    await road.advised()
    await road.propose()
    return await _grant_and_pay(road)


# --- parts ------------------------------------------------------------------------------------


async def _grant_and_pay(road: Road) -> list[Ending]:
    await road.decide("accepted")
    await road.happens("APPROVED", "PAYOUT_DUE")
    await road.delivered()
    await road.pay(road.amount)
    return [road.ending("COMPLETED")]


# fmt: off
VARIANTS: dict[str, Script] = {
    "granted":          granted,
    "refused":          refused,
    "partly":           partly,
    "incomplete":       incomplete,
    "no-answer":        no_answer,
    "no-reaction":      no_reaction,
    "postponed":        postponed,
    "modified":         modified,
    "list":             listed,
    "withdrawn-late":   withdrawn,
    "rejected-iban":    rejected_iban,
    "returned":         returned,
    "check-down":       check_down,
    "check-replaced":   check_replaced,
    "at-the-counter":   at_the_counter,
}
# fmt: on
STAGES = ("SCREENING", "ASSESSMENT", "DECISION", "PAYOUT")
"""The stages that these scripts walk through."""


def variants(procedure: str) -> dict[str, Script]:
    """Those that can happen with this premium; empty where these scripts do not know what to fill in."""
    premium = known_premium(procedure)
    if premium is None:
        return {}
    return {name: one for name, one in VARIANTS.items() if name != "partly" or premium.partly is not None}
