"""What arrived outside, beside what should have: each difference is one line."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from loket.walk import offices, queries
from loket.walk.citizen import Citizen, WalkFailed
from loket.walk.expectations import Expected
from loket.walk.outside import BRUSSELS, Outside, Received
from loket.walk.staff import Servant
from loket.walk.story import Story, columns

Json = dict[str, Any]

CHANNELS = {"MBP": "Mijn Burgerprofiel", "EMAIL": "e-mail", "SMS": "text message"}
OPEN = ("PENDING", "PARKED", "IN_DOUBT")
ENDED = ("COMPLETED", "WITHDRAWN", "CANCELLED", "INADMISSIBLE")


@dataclass
class Found:
    """What came of one case, everywhere."""

    case: Json
    failed: list[Json]
    tasks: list[str]
    said: list[Json]
    """What Loket says that it told the citizen."""
    heard: list[Received]
    """What the citizen has, repeats included."""
    statuses: list[Json]
    entries: list[Json]
    bookings: list[Json]
    checkouts: list[Json]
    registered: bool
    timeline: list[str]
    """The ids of the case's events."""
    happened: list[str] = field(default_factory=list)
    """Their types."""
    payouts: list[Json] = field(default_factory=list)
    letters: list[Json] = field(default_factory=list)
    items: list[Json] = field(default_factory=list)
    """What the minutes system has of it."""
    name: str = ""
    """The citizen's."""
    repeats: list[str] = field(default_factory=list)


async def settle(citizen: Citizen, operator: Servant, *, seconds: float) -> None:
    """Wait until nothing is under way any more for this case.

    Raises:
        WalkFailed: with the effects that are still open.
    """
    effects: list[Json] = []

    async def quiet() -> bool:
        effects[:] = await operator.effects(citizen.reference)
        return all(one["state"] not in OPEN for one in effects) and await _receipts(citizen)

    try:
        await citizen.until(quiet, "all systems to be told", seconds=seconds)
    except WalkFailed as failed:
        raise WalkFailed(f"{failed}\n{told_of(effects)}") from None


async def _stays_registered(citizen: Citizen, status: str) -> bool:
    """Whether MAGDA keeps the citizen registered; that ends with the person's last case, after it."""

    async def gone() -> bool:
        return not await citizen.place.outside.is_registered(citizen.insz)

    if status not in ENDED:
        return not await gone()
    with suppress(WalkFailed):
        await citizen.until(gone, "the end of the registration at MAGDA")
    return not await gone()


async def _receipts(citizen: Citizen) -> bool:
    """Whether the phone company has said of each text message that it arrived."""
    said = await _said(citizen)
    return not any(one["channel"] == "SMS" and one["status"] in ("QUEUED", "SENT") for one in said)


def told_of(effects: Iterable[Json]) -> str:
    """The effects that are not done, for who has to find out why."""
    lines = [
        f"    {one['system']:<11} {one['kind']:<17} {one['state']:<8} "
        f"tried {one['attemptsMade']} times {one['lastError'] or ''}".rstrip()
        for one in effects
        if one["state"] in OPEN
    ]
    return "\n".join(lines or ["    all its effects are done"])


async def look_everywhere(citizen: Citizen, operator: Servant) -> Found:
    outside, reference = citizen.place.outside, citizen.reference
    case = await citizen.look()
    invoice = case["invoice"]
    ogm = "".join(sign for sign in invoice["structuredReference"] if sign.isdigit()) if invoice else ""
    said = await _said(citizen)
    words = {one[part] for one in said for part in ("subject", "body") if one.get(part)}
    told = await citizen.client.ask(queries.TIMELINE, reference=reference)
    timeline = told["case"]["timeline"]["nodes"]
    return Found(
        case=case,
        failed=await operator.failed_effects(reference),
        tasks=await operator.open_tasks(reference),
        said=said,
        heard=await outside.received(citizen.insz, citizen.email, citizen.phone, reference, words),
        statuses=await outside.statuses(citizen.insz, reference),
        entries=await outside.entries(ogm) if ogm else [],
        bookings=await outside.bookings(reference),
        checkouts=await outside.checkouts(reference),
        registered=await _stays_registered(citizen, case["status"]),
        timeline=[one["id"] for one in timeline],
        happened=[one["type"] for one in timeline],
        payouts=await offices.payouts(outside, reference),
        letters=await offices.letters(outside, citizen.insz, reference),
        items=await offices.items(outside, citizen.item) if citizen.item else [],
        name=citizen.name,
    )


async def _said(citizen: Citizen) -> list[Json]:
    found = (await citizen.client.ask(queries.MESSAGES, reference=citizen.reference))["case"]
    return [one for one in found["messages"]["nodes"] if one["status"] != "SKIPPED"]


# --- differences ------------------------------------------------------------------------------


def differences(found: Found, expected: Expected, seen: Sequence[Json]) -> list[str]:
    """Everything that is not as it should be; what came twice under one name goes to `found.repeats`."""
    faults = [
        *_case(found, expected),
        *_messages(found, expected),
        *_dosis(found, expected),
        *_books(found, expected),
        *_van(found, expected),
        *_decided(found, expected),
        *_paid_out(found, expected),
    ]
    faults += [
        f"{one['system']}: {one['kind']} ended as {one['state']}: {one['lastError']}" for one in found.failed
    ]
    # the socket also tells what became of effects; the timeline holds what happened to the case
    live = Counter(one["id"] for one in seen)
    faults += [f"the socket told event {id} {times} times" for id, times in live.items() if times > 1]
    missed = [id for id in found.timeline if id not in live]
    if missed:
        faults.append(
            f"the socket never told {len(missed)} of the {len(found.timeline)} events of the timeline"
        )
    return faults


def _case(found: Found, expected: Expected) -> list[str]:
    case = found.case
    faults = []
    if case["status"] != expected.status:
        faults.append(f"the case is {case['status']}, not {expected.status}")
    if sorted(found.tasks) != sorted(expected.open_tasks):
        faults.append(f"waiting for a person: {found.tasks}, expected {list(expected.open_tasks)}")
    if expected.status in ENDED:
        if case["invoice"] and case["invoice"]["status"] not in expected.invoice:
            faults.append(f"an ended case has an invoice that is {case['invoice']['status']}")
        if found.registered and not expected.registered:
            faults.append("the case ended, and MAGDA still has the citizen registered")
    return faults


def _messages(found: Found, expected: Expected) -> list[str]:
    faults = []
    for channel, name in CHANNELS.items():
        due = expected.due_over(channel)
        said = [one for one in found.said if one["channel"] == channel]
        about = [one["about"] for one in said]
        if sorted(about) != sorted(due):
            faults.append(f"{name}: told {about}, expected {due}")
        heard = [one for one in found.heard if one.channel == channel]
        times = Counter(one.key for one in heard)
        found.repeats += [f"{name} {key} came {count} times" for key, count in times.items() if count > 1]
        distinct = {one.key: one.text for one in heard}
        arrived = Counter(distinct.values())
        sent = Counter(one["body" if channel == "SMS" else "subject"] for one in said)
        faults += [f"{name}: never arrived: {text!r}" for text in (sent - arrived).elements()]
        faults += [
            f"{name}: arrived, and Loket knows nothing of it: {text!r}"
            for text in (arrived - sent).elements()
        ]
        if sorted(about) == sorted(due) and sent == arrived:
            came = _in_order(channel, said, distinct.values())
            faults += [f"{name}: came in the order {came}, expected {due}"] if came != due else []
    empty = [one for one in found.said if one["channel"] == "MBP" and one["body"] in ("", one["subject"])]
    faults += [f"the message about {one['about']} says nothing beside its subject" for one in empty]
    lost = [one for one in found.said if one["status"] == "FAILED"]
    faults += [f"{one['channel']} {one['about']} failed: {one['reason']}" for one in lost]
    return faults


def _in_order(channel: str, said: list[Json], texts: Iterable[str]) -> list[str]:
    """About what the messages were, in the order in which their texts arrived."""
    about: dict[str, list[str]] = defaultdict(list)
    for one in said:
        about[one["body" if channel == "SMS" else "subject"]].append(one["about"])
    return [about[text].pop(0) for text in texts]


def _dosis(found: Found, expected: Expected) -> list[str]:
    faults = []
    codes = [one["Status"]["VlaamsCode"] for one in found.statuses]
    if codes != expected.dosis:
        faults.append(f"DOSIS heard {codes}, expected {expected.dosis}")
    late = [one["Status"]["VlaamsCode"] for one in found.statuses if one["OutOfOrder"]]
    if late:
        faults.append(f"DOSIS heard out of order: {late}")
    found.repeats += [
        f"DOSIS {one['UploadId']} came {one['Repeats'] + 1} times" for one in found.statuses if one["Repeats"]
    ]
    return faults


def _books(found: Found, expected: Expected) -> list[str]:
    booked = Counter(
        (one["entry"]["type"], Decimal(one["entry"]["amount"]))
        for one in found.entries
        if one["status"] == "BOOKED"
    )
    due = Counter([*expected.entries.items(), *expected.more_entries])
    faults = [f"accounting never booked {kind} {amount}" for kind, amount in (due - booked).elements()]
    faults += [f"accounting booked {kind} {amount} too much" for kind, amount in (booked - due).elements()]
    paid = [one for one in found.checkouts if one["how"] == "pay"]
    if len(paid) > 1:
        faults.append(f"the payment module was paid {len(paid)} times")
    return faults


def _van(found: Found, expected: Expected) -> list[str]:
    statuses = [one["status"] for one in found.bookings]
    wanted = [expected.booking] if expected.booking else []
    faults = []
    if statuses != wanted:
        faults.append(f"the planning tool has {statuses or 'no booking'}, expected {wanted or 'none'}")
    delivery = found.case["delivery"]
    held = delivery and delivery["booking"] and delivery["booking"]["status"] in ("HELD", "BOOKED")
    if held and expected.status in ("WITHDRAWN", "CANCELLED"):
        faults.append("an ended case holds a place in a slot")
    return faults


def _decided(found: Found, expected: Expected) -> list[str]:
    """What the body made of it, that it named nobody, and that the decision came with its reasons."""
    faults = []
    states = [one["state"] for one in found.items]
    if states != list(expected.agenda):
        faults.append(f"the minutes system has {states}, expected {list(expected.agenda)}")
    named = [
        one for one in found.items if found.name.casefold() in f"{one['title']} {one['decision']}".casefold()
    ]
    if found.name and named:
        faults.append(f"the agenda names {found.name}")
    ways = [one["way"] for one in found.letters]
    if ways != list(expected.letters):
        faults.append(f"the decision was delivered by {ways}, expected {list(expected.letters)}")
    said = expected.promises.appeal if expected.promises is not None else ()
    silent = 0
    for letter in found.letters:
        if letter["way"] == "NORMAL":  # a message, in the place of an e-mail
            continue
        lacking = [one for one in said if one not in letter["text"]]
        if lacking and silent < expected.notices:
            silent, lacking = silent + 1, []
        if found.case["reference"] not in letter["text"]:
            lacking.insert(0, found.case["reference"])
        faults += [f"the letter with the decision does not say {one!r}" for one in lacking]
    if expected.promises is not None and expected.happened is not None:
        heeded = [one for one in found.happened if expected.promises.heeds(one)]
        wanted = [one for one in expected.happened if expected.promises.heeds(one)]
        if heeded != wanted:
            faults.append(f"this happened: {heeded}, expected {wanted}")
    return faults


def _paid_out(found: Found, expected: Expected) -> list[str]:
    orders = [(one["status"], Decimal(one["order"]["amount"])) for one in found.payouts]
    if orders != list(expected.payouts):
        return [f"accounting has payouts {orders}, expected {list(expected.payouts)}"]
    same = [one for one in found.payouts if len({who["name"] for who in one["order"]["approvals"]}) < 2]
    return [f"one person alone had {one['order']['amount']} EUR paid" for one in same]


def appointments(expected: Expected, mails: list[Json]) -> list[str]:
    """The calendar's own rules: one appointment, whose sequence only rises."""
    calendars = [one["calendar"] for one in mails if one["calendar"] is not None]
    unreadable = [one["unreadable"] for one in calendars if "unreadable" in one]
    if unreadable:
        return [f"a calendar that no program reads: {unreadable[0]}"]
    faults = []
    if len({one["uid"] for one in calendars}) > 1:
        faults.append("the appointment changes its name from mail to mail")
    sequences = [one["sequence"] for one in calendars]
    if expected.calendar is None:
        if sequences != sorted(set(sequences)):
            faults.append(f"the sequence of the appointment does not rise: {sequences}")
    elif sequences != list(expected.calendar):
        faults.append(
            f"the mailbox got the appointment as sequence {sequences}, expected {list(expected.calendar)}"
        )
    complaints = [f"{one['subject']}: {complaint}" for one in mails for complaint in one["complaints"]]
    return [*faults, *complaints]


# --- showing ----------------------------------------------------------------------------------


def show(citizen: Citizen, found: Found, expected: Expected) -> None:
    """What arrived, as the receivers have it."""
    story = citizen.story
    story.head("What arrived, from the records of those who received it")
    for channel, name in CHANNELS.items():
        heard = [one for one in found.heard if one.channel == channel]
        story.line(f"  {name} ({len(heard)})")
        rows = [(_clock(one), _short(one.text), one.note) for one in heard]
        columns(rows, story.line, indent="    ")
    story.line(f"  DOSIS ({len(found.statuses)}, in order)")
    story.line("    " + " → ".join(_told(found.statuses)))
    if expected.promises is None or found.entries or found.bookings:
        _show_sale(found, story)
    if expected.promises is not None:
        _show_premium(found, story)


def _show_sale(found: Found, story: Story) -> None:
    story.line(f"  Accounting ({len(found.entries)})")
    entries = [one["entry"] for one in found.entries]
    booked = [
        (one["type"].lower(), f"{one['amount']} EUR", one["number"], one["reference"]) for one in entries
    ]
    columns(booked, story.line, indent="    ")
    story.line(f"  Planning ({len(found.bookings)})")
    rows = [(one["status"].lower(), one["slotId"], _goods(one)) for one in found.bookings]
    columns(rows, story.line, indent="    ")


def _show_premium(found: Found, story: Story) -> None:
    story.line(f"  Minutes ({len(found.items)})")
    columns([(one["state"], one["title"]) for one in found.items], story.line, indent="    ")
    story.line(f"  Decision letters ({len(found.letters)})")
    rows = [(one["way"].lower(), _short(one["text"])) for one in found.letters]
    columns(rows, story.line, indent="    ")
    story.line(f"  Payouts ({len(found.payouts)})")
    orders = [(one["status"], one["order"]) for one in found.payouts]
    paid = [
        (status.lower(), f"{order['amount']} EUR", order["creditor"]["iban"], order["remittance"])
        for status, order in orders
    ]
    columns(paid, story.line, indent="    ")


def _goods(booking: Json) -> str:
    return ", ".join(f"{one['quantity']} × {one['description']}" for one in booking["items"])


def _told(statuses: list[Json]) -> list[str]:
    return [one["Status"]["VlaamsCode"] + (" (late!)" if one["OutOfOrder"] else "") for one in statuses]


def _clock(one: Received) -> str:
    return f"{one.at.astimezone(BRUSSELS):%H:%M:%S}"


def _short(text: str, most: int = 76) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


async def mails_about(outside: Outside, email: str, reference: str) -> list[Json]:
    """Each e-mail once, in the order in which they came."""
    found = {one["messageId"]: one for one in await outside.mails(email) if reference in one["subject"]}
    return list(found.values())
