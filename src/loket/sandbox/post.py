"""The post office: takes in a print batch as the printer gets it, delivers its letters, proves the posting.

A batch is the ZIP that Loket hands to its secretariat, who brings it here by hand: at the desk, or with a
`POST /post`. The numbers of registered letters are ours, of the UPU's form (S10).
"""

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from loket.sandbox.belgian_days import BRUSSELS
from loket.sandbox.orders import Wrong, by_form
from loket.sandbox.page import moment, table, tag
from loket.sandbox.personas import Citizen
from loket.sandbox.state import State, now, stamp

Json = dict[str, Any]

ADDRESS = tuple(f"address_{number}" for number in range(1, 7))
HEADING = ("sequence", "reference", "addressee", *ADDRESS, "pages", "first_page", "service", "sha256")
PROOF = ("sequence", "reference", "registered_number", "posted_on")
LARGEST_BYTES = 100 * 1024 * 1024
WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)
"""Of the digits of a registered number (S10 of the UPU)."""
SERVICES = {"REGISTERED": "aangetekend", "NORMAL": "gewoon"}


def take_in(state: State, content: bytes) -> Json:
    """Deliver the letters of a batch; one that was here before is delivered once.

    Raises:
        Wrong: it is no batch, or a letter in it is not what the list says.
    """
    key = hashlib.sha256(content).hexdigest()[:16]
    known = state.get("batch", key)
    if known is not None:
        return known
    letters, files = _opened(content)
    taken = {one["reference"] for one in letters if one["service"] not in SERVICES}
    if taken:
        raise Wrong(f"service: {', '.join(SERVICES)}, not that of {', '.join(sorted(taken))}")
    posted_on = now().astimezone(BRUSSELS).date().isoformat()
    for letter, file in zip(letters, files, strict=True):
        letter["id"] = f"{key}-{letter['sequence']}"
        letter["posted_on"], letter["at"] = posted_on, stamp()
        if letter["service"] == "REGISTERED":
            number = state.append("registered", {"letter": letter["id"]})
            letter["registered_number"] = registered_number(number)
        state.put("letter", letter["id"], letter)
        state.put("paper", letter["id"], {"base64": base64.b64encode(file).decode("ascii")})
    batch = {"id": key, "at": stamp(), "letters": letters, "proof": _proof(letters)}
    state.put("batch", key, batch)
    return batch


def letters_to(state: State, citizen: Citizen) -> list[Json]:
    """What lay in somebody's letter box, oldest first: by name and address, as a postman knows people."""
    wanted = (f"{citizen.street} {citizen.number}", f"{citizen.postal_code} {citizen.city}")
    return [
        one
        for one in state.all("letter")
        if one["addressee"] == citizen.name and all(part in one["address"] for part in wanted)
    ]


def registered_number(number: int) -> str:
    """`RR`, eight digits, their check digit, `BE`."""
    digits = f"{number % 10**8:08}"
    weighed = sum(int(digit) * weight for digit, weight in zip(digits, WEIGHTS, strict=True))
    check = {10: 0, 11: 5}.get(11 - weighed % 11, 11 - weighed % 11)
    return f"RR{digits}{check}BE"


def _opened(content: bytes) -> tuple[list[Json], list[bytes]]:
    """The lines of the list and the letter of each. Raises `Wrong`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            listed = archive.read("manifest.csv").decode("utf-8-sig")
            names = [name for name in sorted(archive.namelist()) if name.startswith("letters/")]
            files = [archive.read(name) for name in names]
            archive.read("letters.pdf")
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as fault:
        raise Wrong(f"not a print batch: {fault}") from fault
    rows = list(csv.DictReader(io.StringIO(listed, newline=""), delimiter=";"))
    if not rows or tuple(rows[0]) != HEADING:
        raise Wrong(f"manifest.csv: the heading must be {';'.join(HEADING)}, with a line for each letter")
    if len(rows) != len(files):
        raise Wrong(f"manifest.csv has {len(rows)} lines for {len(files)} letters")
    faults = list(_faults(rows, files))
    if faults:
        raise Wrong("; ".join(faults))
    return [_letter(row) for row in rows], files


def _faults(rows: list[dict[str, str]], files: list[bytes]) -> Iterator[str]:
    for place, (row, file) in enumerate(zip(rows, files, strict=True), start=1):
        if row["sequence"] != str(place):
            yield f"line {place} is numbered {row['sequence']}"
        if not file.startswith(b"%PDF-"):
            yield f"letter {place} is no PDF"
        if hashlib.sha256(file).hexdigest() != row["sha256"]:
            yield f"letter {place} is not the one of the list"
        if not row["addressee"] or not row["address_1"]:
            yield f"letter {place} says not where it goes"


def _letter(row: dict[str, str]) -> Json:
    return {
        "sequence": int(row["sequence"]),
        "reference": row["reference"],
        "addressee": row["addressee"],
        "address": [row[name] for name in ADDRESS if row[name]],
        "pages": int(row["pages"]),
        "service": row["service"],
        "sha256": row["sha256"],
        "registered_number": "",
    }


def _proof(letters: list[Json]) -> str:
    """What comes back: a line for each registered letter, as CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(PROOF)
    writer.writerows([one[name] for name in PROOF] for one in letters if one["service"] == "REGISTERED")
    return out.getvalue()


# --- at the desk -------------------------------------------------------------------------------


def routes(state: State) -> list[Route]:
    async def brought(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse(state.all("batch"))
        batch = take_in(state, await _file(request))
        back = request.headers.get("referer") or "/meespelen"
        return RedirectResponse(back, 303) if by_form(request) else JSONResponse(batch)

    async def proof(request: Request) -> Response:
        batch = state.get("batch", request.path_params["id"])
        if batch is None:
            raise Wrong("no such batch", 404)
        name = f"bewijs-van-afgifte-{batch['id']}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(batch["proof"], media_type="text/csv", headers=headers)

    async def letters(_: Request) -> Response:
        return JSONResponse(state.all("letter"))

    async def letter(request: Request) -> Response:
        found = state.get("paper", request.path_params["id"])
        if found is None:
            raise Wrong("no such letter", 404)
        return Response(base64.b64decode(found["base64"]), media_type="application/pdf")

    return [
        Route("/post", brought, methods=["GET", "POST"]),
        Route("/post/letters", letters),
        Route("/post/letters/{id}.pdf", letter),
        Route("/post/{id}/proof.csv", proof),
    ]


async def _file(request: Request) -> bytes:
    """The batch, alone or in a form. Raises `Wrong`."""
    if not by_form(request):
        content = await request.body()
    else:
        async with request.form() as form:
            given = form.get("batch")
            content = b"" if given is None or isinstance(given, str) else await given.read()
    if not 0 < len(content) <= LARGEST_BYTES:
        raise Wrong("no print batch came with it")
    return content


def counter(state: State) -> Markup:
    """Where the secretariat brings a batch, and gets the proof."""
    rows = [
        (
            moment(one["at"]),
            str(len(one["letters"])),
            ", ".join(sorted({letter["reference"] for letter in one["letters"]})),
            Markup('<a href="/post/{}/proof.csv">bewijs van afgifte</a>').format(one["id"]),
        )
        for one in reversed(state.all("batch", 5))
    ]
    return Markup(
        '<form method="post" action="/post" enctype="multipart/form-data" class="inline">'
        '<label>Afdrukbatch <input type="file" name="batch" accept=".zip" required></label>'
        "<button>Breng naar de post</button></form>{}"
    ).format(table(("Wanneer", "Brieven", "Zaken", ""), rows, empty="Nog niets gebracht."))


def box(letters: list[Json], *, to_whom: bool = False) -> Markup:
    """Letters that were delivered; `to_whom`: with the addressee."""
    rows = [
        (
            moment(one["at"]),
            *([_addressee(one)] if to_whom else []),
            one["reference"],
            tag(SERVICES[one["service"]], "good" if one["service"] == "REGISTERED" else ""),
            Markup("<code>{}</code>").format(one["registered_number"]),
            Markup('<a href="/post/letters/{}.pdf">brief, {} blz.</a>').format(one["id"], one["pages"]),
        )
        for one in reversed(letters)
    ]
    head = ("Wanneer", *(["Aan"] if to_whom else []), "Zaak", "Soort", "Nummer", "")
    return table(head, rows, empty="De brievenbus is leeg.")


def _addressee(letter: Json) -> Markup:
    return Markup("{}<br><small>{}</small>").format(letter["addressee"], ", ".join(letter["address"]))
