"""Did everything that must be told arrive: once at least, in order, under its own name, and nothing else?

What each system received is read from its own records; a repeat is one that its receiver saw.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from urllib.parse import unquote

from storm.evidence import Call, Evidence, Row, message_id
from storm.findings import Bench

NOT_SIGNED_IN = 401
"""Said to a token that lapsed: the same attempt goes on with a new one."""
UUID_TEXT = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


def judge(evidence: Evidence, bench: Bench) -> None:
    for channel in CHANNELS:
        _arrived(evidence, bench, channel)
        _repeats(evidence, bench, channel)
    _statuses(evidence, bench)
    _messages(evidence, bench)


@dataclass(frozen=True)
class Channel:
    """One system of the sandbox, and what Loket tells it. All that arrives there is known by a name."""

    system: str
    kinds: tuple[str, ...]
    name: Callable[[Row], str | None]
    """Of an effect: the name by which it arrives; None where it goes elsewhere."""
    named: Callable[[Call], str | None]
    """Of a request: the name that it carries."""
    received: Callable[[Evidence], Iterable[str]]
    """The names of what is kept there, as each first came."""
    ordered: bool = True
    lets_pass: bool = False
    """One that was given up does not hold back what comes behind it."""


def _in_body(pattern: str, method: str = "POST") -> Callable[[Call], str | None]:
    find = re.compile(pattern)

    def named(call: Call) -> str | None:
        found = find.search(call.body) if call.method == method else None
        return found[1] if found else None

    return named


def _in_header(call: Call) -> str | None:
    return call.key if call.method != "GET" else None


def _in_callback(call: Call) -> str | None:
    found = re.search(f"message={UUID_TEXT}", unquote(call.body)) if call.method == "POST" else None
    return found[1] if found else None


def _keys(system: str, kind: str) -> Callable[[Evidence], Iterable[str]]:
    return lambda evidence: [row[0] for row in evidence.outside.parts(system, kind)]


def _mails(evidence: Evidence) -> Iterable[str]:
    found = evidence.outside.parts("smtp", "mailbox:%", "messageId", "number")
    return [id.strip("<>").partition("@")[0] for _, id, number in sorted(found, key=lambda row: row[2])]


def _texts(evidence: Evidence) -> Iterable[str]:
    found = evidence.outside.parts("sms", "message", "callback")
    return [callback.partition("message=")[2] for _, callback in found if callback]


def _letters(evidence: Evidence) -> Iterable[str]:
    return [row[1] for row in evidence.outside.parts("ebox", "notification", "message.messageId")]


def _own(effect: Row) -> str | None:
    return str(effect.id)


def _by_mail(effect: Row) -> str | None:
    return message_id(effect.id) if effect.payload.get("channel") != "SMS" else None


def _by_text(effect: Row) -> str | None:
    if effect.kind == "CONTACT_CODE":
        return str(effect.id) if effect.payload["channel"] == "SMS" else None
    return str(effect.payload["message_id"])


def _told_planning(effect: Row) -> str | None:
    receipt = effect.receipt or {}
    if effect.state == "DONE" and effect.kind == "PLANNING_BOOK" and "version" not in receipt:
        return None  # refused for want of room, or given up before it was told
    return str(effect.id) if effect.kind == "PLANNING_BOOK" or effect.state != "DONE" else None


# fmt: off
CHANNELS = (
    Channel("dosis", ("DOSIS_STATUS",), _own, _in_body(f'"UploadId": ?"{UUID_TEXT}"'),
            _keys("dosis", "upload")),
    Channel("notificaties", ("MESSAGE_MBP",), _own, _in_body(f'"Id": ?"{UUID_TEXT}"'),
            _keys("notificaties", "bundle"), lets_pass=True),
    Channel("smtp", ("MESSAGE_EMAIL", "CONTACT_CODE", "ADVICE_EMAIL", "STAFF_EMAIL"), _by_mail,
            _in_body(r"Message-ID:\s+<([0-9a-f]{32})@", "DATA"), _mails, lets_pass=True),
    Channel("sms", ("MESSAGE_SMS", "CONTACT_CODE"), _by_text, _in_callback, _texts, lets_pass=True),
    Channel("ebox", ("LETTER_EBOX",), lambda effect: effect.payload["letter_id"],
            _in_body(f'"messageId": ?"{UUID_TEXT}"'), _letters, ordered=False),
    Channel("accounting", ("ACCOUNTING_ENTRY", "PAYOUT_SEND", "PAYOUT_RECALL"), _own, _in_header,
            _keys("accounting", "idempotency")),
    Channel("planning", ("PLANNING_BOOK", "PLANNING_CANCEL"), _told_planning, _in_header,
            _keys("planning", "idempotency")),
)
# fmt: on
CALLS = {"mbp": "notificaties", "email": "smtp"}
"""What the sandbox calls a system that Loket calls otherwise."""


# --- arrivals ---------------------------------------------------------------------------------


def _arrived(evidence: Evidence, bench: Bench, channel: Channel) -> None:
    effects = evidence.effects_of(*channel.kinds)
    due = {name: one for one in effects if (name := channel.name(one)) is not None}
    every = {str(one.id) for one in effects} | set(due)
    received = list(dict.fromkeys(channel.received(evidence)))
    bench.checked(f"told to {channel.system}", len(due))
    place = {name: at for at, name in enumerate(received)}
    for name, one in due.items():
        receipt = one.receipt or {}
        said = receipt.get("skipped") or receipt.get("ebox", "") is None or receipt.get("told") == "DOUBT"
        if one.state == "DONE" and name not in place and not said:
            bench.wrong(
                f"done, and {channel.system} never had it",
                evidence.name(one.case_id),
                kind=one.kind,
                name=name,
            )
    for name in received:
        if name not in every:
            bench.wrong(f"{channel.system} was told what nobody left", name)
    if channel.ordered:
        _in_order(evidence, bench, channel, due, place)


def _in_order(
    evidence: Evidence, bench: Bench, channel: Channel, due: dict[str, Row], place: dict[str, int]
) -> None:
    given_up = evidence.given_up if channel.lets_pass else set()
    lanes: dict[str, list[tuple[int, int, Row]]] = defaultdict(list)
    for name, one in due.items():
        if name in place and one.case_id is not None and one.id not in given_up:
            lanes[one.lane].append((one.seq, place[name], one))
    bench.checked(f"cases in order at {channel.system}", len(lanes))
    for of in lanes.values():
        of.sort(key=lambda row: row[0])
        for (_, before, _), (_, after, late) in pairwise(of):
            if after < before:
                bench.wrong(
                    f"{channel.system} had it before what came first", evidence.name(late.case_id),
                    kind=late.kind, effect=late.id,
                )  # fmt: skip


# --- repeats ----------------------------------------------------------------------------------


def _repeats(evidence: Evidence, bench: Bench, channel: Channel) -> None:
    """Nothing came twice but where the first answer may have been lost; and every call was written down."""
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in evidence.outside.calls(channel.system):
        name = channel.named(call)
        if name is not None:
            calls[name].append(call)
    if evidence.outside.forgot(channel.system):
        bench.checked(f"requests that {channel.system} forgot", evidence.outside.forgot(channel.system))
    effects = {
        name: one
        for one in evidence.effects_of(*channel.kinds)
        if (name := _any_name(channel, one)) is not None
    }
    bench.checked(f"requests to {channel.system}", sum(map(len, calls.values())))
    for name, of in calls.items():
        acted = [one for one in of if one.acted]
        effect = effects.get(name)
        case = evidence.name(effect.case_id) if effect is not None else name
        let_in = sum(one.status != NOT_SIGNED_IN for one in of)
        if effect is not None and let_in > effect.attempts:
            bench.wrong(f"{channel.system} was called oftener than was written down", case,
                        calls=let_in, attempts=effect.attempts, effect=name)  # fmt: skip
        if len(acted) > 1:
            bench.checked(f"repeats at {channel.system}", len(acted) - 1)
            for first, again in pairwise(acted):
                if not _may_repeat(evidence, effect, first, again.at):
                    bench.wrong(
                        f"{channel.system} had it twice, and no blow near", case,
                        name=name, first=f"{first.at:%H:%M:%S.%f}", again=f"{again.at:%H:%M:%S.%f}",
                        fault=first.fault,
                    )  # fmt: skip


def _any_name(channel: Channel, effect: Row) -> str | None:
    return str(effect.id) if channel.system == "planning" else channel.name(effect)


def _may_repeat(evidence: Evidence, effect: Row | None, first: Call, until: datetime) -> bool:
    """The answer to `first` was spoiled, something was struck before it was kept, or a person asked again."""
    again = effect is not None and effect.id in evidence.given_up
    return not first.answered or first.fault == "slow" or again or evidence.was_struck(first.at, until)


# --- what the receiver has --------------------------------------------------------------------


def _statuses(evidence: Evidence, bench: Bench) -> None:
    """What DOSIS has of each case is what was left for it, and no later status was overtaken."""
    found = evidence.outside.parts(
        "dosis", "upload", "dossier.Identificatie.DossierNummer", "dossier.Status.VlaamsCode",
        "dossier.Status.VlaamsFase", "out_of_order",
    )  # fmt: skip
    effects = {str(one.id): one for one in evidence.effects_of("DOSIS_STATUS")}
    bench.checked("statuses at DOSIS", len(found))
    for key, number, code, phase, late in found:
        one = effects.get(key)
        bench.unless(not late, "DOSIS had it after a later one", number, code=code)
        if one is not None and (number, code, phase) != (
            evidence.name(one.case_id), one.payload["code"], one.payload["phase"],
        ):  # fmt: skip
            bench.wrong(
                "DOSIS has another status than was left for it", number, code=code, left=one.payload["code"]
            )


def _messages(evidence: Evidence, bench: Bench) -> None:
    """Each message has one effect that carries it, and each such effect its message; no word in doubt."""
    found = evidence.rows("""
        SELECT m.id, m.case_id, m.about, m.channel, m.status, m.effect_id, m.event_seq, m.subject,
               l.id AS letter_id
          FROM message m LEFT JOIN letter l ON l.message_id = m.id
    """)
    bench.checked("messages", len(found))
    carried = {one.effect_id for one in found if one.effect_id is not None}
    effects = evidence.effects
    # of a decision or a notice the letter says which event it is of, not which message
    legal = {(one.case_id, one.event_seq) for one in evidence.effects_of("LETTER_PDF")}
    for one in found:
        case, what = evidence.name(one.case_id), f"{one.channel} {one.about}"
        if one.channel == "LETTER":
            if (
                one.status != "SKIPPED"
                and one.letter_id is None
                and (one.case_id, one.event_seq) not in legal
            ):
                bench.wrong("a message by letter without a letter", case, message=what)
            continue
        effect = effects.get(one.effect_id)
        if one.status == "SKIPPED":
            bench.unless(effect is None, "a message that was not to be sent, and is", case, message=what)
        elif (
            effect is None
            or effect.payload.get("message_id") != str(one.id)
            or effect.event_seq != one.event_seq
        ):
            bench.wrong("a message that nothing carries", case, message=what, status=one.status)
        elif effect.state == "DONE" and one.status in ("QUEUED", "FAILED") and one.channel != "SMS":
            bench.wrong("a message that was sent and does not know it", case, message=what, status=one.status)
        elif effect.state != "DONE" and one.status in ("SENT", "DELIVERED"):
            bench.wrong("a message that says it was sent", case, message=what, effect=effect.state)
    for effect in evidence.effects_of("MESSAGE_MBP", "MESSAGE_EMAIL", "MESSAGE_SMS"):
        if effect.id not in carried:
            bench.wrong("an effect that carries no message", evidence.name(effect.case_id), kind=effect.kind)
    subjects = {str(one.effect_id): one.subject for one in found if one.channel == "MBP"}
    for key, number, values in evidence.outside.parts(
        "notificaties", "bundle", "bundle.TransactieId", "bundle.SleutelWaardeParen"
    ):
        if key in subjects and subjects[key] not in values:
            bench.wrong("Mijn Burgerprofiel has other words than were written", number, name=key)
