"""Who works outside for a premium: the bodies that sit, advisers elsewhere, the bank, the post office."""

import io
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from pypdf import PdfReader

from loket.walk.outside import BRUSSELS, Outside

Json = dict[str, Any]

WELFARE_PARTNER = "advies@welzijnsregio.example"
"""Where the external adviser of the shipped definitions reads mail."""
_LINK = re.compile(r"/advies\?token=([^\s\"<>&]+)")


# --- bodies -----------------------------------------------------------------------------------


async def make_room(outside: Outside, body: str) -> None:
    """The secretariat convenes a meeting where the agendas of the coming weeks are all closed."""
    meetings = await outside.read("minutes", "/sim/meetings", body=body)
    if any(one["state"] == "created" for one in meetings):
        return
    tomorrow = datetime.now(BRUSSELS) + timedelta(days=1)
    for minute in range(24 * 60):
        at = (tomorrow + timedelta(minutes=minute)).replace(tzinfo=None, second=0, microsecond=0)
        order = {"body": body, "date": at.isoformat()}
        if await outside.order("minutes", "/sim/meetings", order) == 200:
            return


async def enlist(outside: Outside, kind: str, name: str) -> None:
    """The administrator of the minutes package knows an organisation or a category, now or already."""
    await outside.order("minutes", f"/sim/{kind}", {"id": name, "title": name.replace("-", " ").capitalize()})


async def items(outside: Outside, identifier: str) -> list[Json]:
    """What the minutes system has under our name, and the items in which it came back; oldest first."""
    found: list[Json] = await outside.read("minutes", "/sim/items", externalIdentifier=identifier)
    every = await outside.read("minutes", "/sim/items")
    while found and (after := [one for one in every if one["predecessor"] == found[-1]["UID"]]):
        found += after
    return found


async def sit(outside: Outside, item: Json, result: str, *, tell: bool, **text: str) -> None:
    """The body meets today and decides on an item; `tell`: the secretariat's connector says so to Loket."""
    order = {"items": [{"uid": item["UID"], "result": result, **text}], "heldNow": True, "tell": tell}
    await outside.order("minutes", f"/sim/meetings/{item['meeting']}/decide", order)


async def sign(outside: Outside, item: Json) -> None:
    """The chair and the director sign, and Loket is told."""
    await outside.order("minutes", f"/sim/items/{item['UID']}/sign", {"tell": True})


async def bring_back(outside: Outside, item: Json) -> None:
    """The secretariat puts what was postponed on the next agenda."""
    await outside.order("minutes", f"/sim/items/{item['UID']}/present")


# --- advisers elsewhere ------------------------------------------------------------------------


async def advice_link(outside: Outside, reference: str, mailbox: str = WELFARE_PARTNER) -> str | None:
    """The token in the last letter that asked the external adviser about this case."""
    found = [one for one in await outside.mails(mailbox) if reference in one["subject"]]
    tokens = [match[1] for one in found if (match := _LINK.search(one["text"] or ""))]
    return unquote(tokens[-1]) if tokens else None


# --- the bank ----------------------------------------------------------------------------------


async def payouts(outside: Outside, reference: str) -> list[Json]:
    """What accounting was asked to pay for a case, oldest first."""
    found = await outside.read("accounting", "/sim/payouts")
    return [one for one in found if one["order"]["caseReference"] == reference]


async def execute(outside: Outside, payout: Json, by: str = "json") -> None:
    await outside.order("accounting", f"/sim/payouts/{payout['order']['id']}/execute", {"by": by})


async def reject(outside: Outside, payout: Json, code: str, by: str = "pain002") -> None:
    order = {"reasonCode": code, "by": by}
    await outside.order("accounting", f"/sim/payouts/{payout['order']['id']}/reject", order)


async def give_back(outside: Outside, payout: Json, code: str) -> None:
    """The bank of whoever was paid sends the money back."""
    order = {"reasonCode": code, "by": "json"}
    await outside.order("accounting", f"/sim/payouts/{payout['order']['id']}/return", order)


# --- post --------------------------------------------------------------------------------------


async def open_ebox(outside: Outside, insz: str, *, active: bool) -> None:
    """The citizen opens an eBox, or closes it."""
    await outside.order("ebox", f"/sim/ebox/{insz}", {"active": active})


async def post(outside: Outside, batch: bytes) -> Json:
    """The secretariat brings a print batch to the post office; the letters and the proof of posting."""
    taken: Json = await outside.send("desk", "/post", batch, "application/zip")
    return taken


async def letters(outside: Outside, insz: str, reference: str) -> list[Json]:
    """What was delivered of a case with legal value: its `way` and its `text`."""
    digital = (await outside.read("ebox", f"/sim/ebox/{insz}"))["messages"] if insz else []
    found = [
        {"way": "EBOX", "path": f"/sim/ebox/{insz}/{one['id']}/document", "system": "ebox"} | one
        for one in digital
        if reference in one["filename"] and one["legalValue"] == "REGISTERED"
    ]
    found += [
        {"way": one["service"], "path": f"/post/letters/{one['id']}.pdf", "system": "desk"} | one
        for one in await outside.read("desk", "/post/letters")
        if one["reference"] == reference
    ]
    for one in found:
        one["text"] = words(await outside.file(one["system"], one["path"]))
    return found


def words(pdf: bytes) -> str:
    """The text of a PDF on one line."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())
