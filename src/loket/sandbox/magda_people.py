"""The personas as they are now: a script lets them die, move, get another number, or lose a status.

`/sim/persons/{key}` tells what is known of a persona. POST changes the fields that it names:

    deceased_on     "2026-05-01", or null: alive
    address         {"street", "number", "postal_code", "city", "nis"}, or null: where the persona lives
    replaced_by     a national number, true for a new one, or null: not replaced
    statuses        {"BIM_BVT": true, …}: only those that are named change
    adult_points    points on the scale for adults, or null
    pillars         a child's points in the three pillars, or null
    income_eur      taxable income of any past year, or null: no assessment

DELETE undoes all of it. The desk posts a form with an `event`: dies, moves, renumbered or restored.
"""

from dataclasses import fields, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from loket.sandbox.beneficiaries import Social, social_of
from loket.sandbox.magda_envelope import BRUSSELS
from loket.sandbox.personas import Citizen, citizen_of, household, insz, is_insz, person
from loket.sandbox.state import State
from loket.sandbox.system import Config

ELSEWHERE = ("Laar", "7", "2400", "Mol", "13025")
HOME = ("street", "number", "postal_code", "city", "nis")
_FIRST_NEW_SERIAL = 800
"""Above the serials that personas have."""


def present(state: State, number: str) -> Citizen | None:
    """Who has this number now, or had it before it was replaced."""
    citizen = citizen_of(number)
    if citizen is None:
        changed = (key for key, document in state.items("person") if document.get("replaced_by") == number)
        renumbered = person(next(changed, ""))
        if not isinstance(renumbered, Citizen):
            return None
        citizen = replace(renumbered, insz=number)
    return _as_changed(state, citizen)


def family(state: State, citizen: Citizen) -> list[Citizen]:
    """The household as it is now, its reference person first; who died or moved out is no member."""
    members = [
        citizen if one.key == citizen.key else _numbered_anew(_as_changed(state, one))
        for one in household(citizen)
    ]
    return [
        one
        for one in members
        if one.key == citizen.key or (one.state != "deceased" and _home(one) == _home(citizen))
    ]


def social(state: State, citizen: Citizen) -> Social:
    """What social security and the treasury know of somebody now."""
    known, changes = social_of(citizen.key), state.get("person", citizen.key) or {}
    statuses = dict.fromkeys(known.statuses, True) | changes.get("statuses", {})
    points = changes.get("pillars", known.pillars)
    income = changes.get("income_eur", known.income_eur)
    return Social(
        statuses=frozenset(name for name, applies in statuses.items() if applies),
        adult_points=changes.get("adult_points", known.adult_points),
        pillars=None if points is None else (points[0], points[1], points[2]),
        income_eur=None if income is None else Decimal(income),
    )


def routes(config: Config, state: State) -> list[Route]:
    async def one_person(request: Request) -> Response:
        citizen = person(request.path_params["key"])
        if not isinstance(citizen, Citizen):
            return JSONResponse({"title": "unknown persona", "status": 404}, 404)
        as_json = "json" in request.headers.get("content-type", "")
        if request.method == "POST" and not as_json:
            _happen(state, citizen, str((await request.form()).get("event") or ""))
            desk = config.urls.get("desk")
            return RedirectResponse(f"{desk}/burger/{citizen.key}" if desk else str(request.url), 303)
        if request.method == "DELETE":
            state.delete("person", citizen.key)
        elif request.method == "POST":
            try:
                changes = _checked(state, citizen, await request.json())
            except (ValueError, TypeError, KeyError, InvalidOperation) as wrong:
                return JSONResponse({"title": f"cannot be: {wrong}", "status": 400}, 400)
            state.put("person", citizen.key, changes)
        return JSONResponse(described(state, citizen))

    return [Route("/sim/persons/{key}", one_person, methods=["GET", "POST", "DELETE"])]


def _happen(state: State, citizen: Citizen, event: str) -> None:
    """What the desk's buttons do; another event is none."""
    changes: dict[str, dict[str, Any]] = {
        "dies": {"deceased_on": datetime.now(BRUSSELS).date().isoformat()},
        "moves": {"address": dict(zip(HOME, ELSEWHERE, strict=True))},
        "renumbered": {"replaced_by": True},
    }
    if event == "restored":
        state.delete("person", citizen.key)
    elif event in changes:
        state.put("person", citizen.key, _checked(state, citizen, changes[event]))


def _checked(state: State, citizen: Citizen, asked: dict[str, Any]) -> dict[str, Any]:
    """All changes so far with those that are asked for.

    Raises:
        ValueError, TypeError, KeyError, InvalidOperation: a field or value that cannot be.
    """
    changes = dict(state.get("person", citizen.key) or {})
    for name, value in asked.items():
        match name, value:
            case (("deceased_on" | "adult_points" | "pillars" | "income_eur"), None):
                changes[name] = None
            case (("address" | "replaced_by"), None):
                changes.pop(name, None)
            case "deceased_on", str():
                changes[name] = date.fromisoformat(value).isoformat()
            case "address", dict():
                changes[name] = {part: str(value[part]) for part in HOME}
            case "replaced_by", True:
                changes[name] = _new_number(citizen)
            case "replaced_by", str() if is_insz(value) and present(state, value) is None:
                changes[name] = value
            case "statuses", dict():
                said = {str(status): bool(applies) for status, applies in value.items()}
                changes[name] = changes.get(name, {}) | said
            case "adult_points", int():
                changes[name] = value
            case "pillars", [int(), int(), int()]:
                changes[name] = value
            case "income_eur", str() | int():
                changes[name] = f"{Decimal(value):.2f}"
            case _:
                raise ValueError(name)
    return changes


def _new_number(citizen: Citizen) -> str:
    """Of the same birth and sex; always the same one."""
    serial = int(citizen.insz[6:9])
    return insz(citizen.born_on, _FIRST_NEW_SERIAL + serial % 2 + 2 * (serial // 2 % 99))


def _as_changed(state: State, citizen: Citizen) -> Citizen:
    changes = state.get("person", citizen.key) or {}
    known = {field.name for field in fields(Citizen)}
    moved = {part: value for part, value in changes.get("address", {}).items() if part in known}
    citizen = replace(citizen, **moved)
    if "deceased_on" in changes:
        died_on = changes["deceased_on"]
        citizen = replace(
            citizen,
            died_on=date.fromisoformat(died_on) if died_on else None,
            state="deceased" if died_on else "known",
        )
    replaced_by = changes.get("replaced_by")
    if replaced_by is not None and citizen.insz != replaced_by:
        citizen = replace(citizen, state="replaced", replaced_by=replaced_by)
    return citizen


def _numbered_anew(citizen: Citizen) -> Citizen:
    """As others see them: under the number that they have now."""
    return replace(citizen, insz=citizen.replaced_by or citizen.insz)


def _home(citizen: Citizen) -> tuple[str, ...]:
    return citizen.street, citizen.number, citizen.postal_code, citizen.city, citizen.nis


def described(state: State, citizen: Citizen) -> dict[str, Any]:
    """What a persona's life is like now."""
    citizen = _as_changed(state, citizen)
    known = social(state, citizen)
    return {
        "key": citizen.key,
        "name": citizen.name,
        "insz": citizen.insz,
        "born_on": citizen.born_on.isoformat(),
        "deceased_on": citizen.died_on.isoformat() if citizen.died_on else None,
        "address": dict(zip(HOME, _home(citizen), strict=True)),
        "replaced_by": citizen.replaced_by,
        "household": [one.key for one in family(state, citizen)],
        "statuses": dict.fromkeys(sorted(known.statuses), True),
        "adult_points": known.adult_points,
        "pillars": known.pillars,
        "income_eur": None if known.income_eur is None else f"{known.income_eur:.2f}",
    }
