"""The bench on which the parts' machines are tried: a part is put into a state, and everybody at a door.

Nothing happens by itself here: the worker runs while the cases are made, and goes home before anybody
tries. What a try has changed is undone from a copy of all tables.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import select
from sqlmodel import SQLModel, col
from uuid_utils.compat import uuid7

from loket import effects, timers
from loket.identity import cookie_name
from loket.ids import encode_id
from loket.lifecycle import Machine, PartAction, Role, TimerKind
from loket.records import Case, Effect, EffectKind
from loket.vault import token_hash
from loket.work import the_system
from loket.worker import Worker
from served import served
from town import Dossier, Json, Town

APPLICANT, STRANGER, OPERATOR_ALONE = "the applicant", "carla", "the operator"
SYSTEM = "the system"
STAFF: dict[str, frozenset[Role]] = {
    "hilde": frozenset({Role.HANDLER}),
    "filip": frozenset({Role.FINANCE}),
    "farah": frozenset({Role.FINANCE}),
    "wim": frozenset({Role.FIELD_WORKER}),
    "astrid": frozenset({Role.ADVISER}),
    "sandra": frozenset({Role.SECRETARIAT}),
    OPERATOR_ALONE: frozenset({Role.OPERATOR}),
}
NOBODY = None
PEOPLE: tuple[str | None, ...] = (APPLICANT, *STAFF, STRANGER, NOBODY)
REFUSALS = {"TRANSITION_NOT_ALLOWED", "NOT_ALLOWED", "NOT_FOUND", "SIGN_IN_REQUIRED", "EXPIRED"}
"""How a wish is refused that the table does not have, or not for who wishes it."""
_KEPT = "kept"
"""The schema of the copy."""
_APART = frozenset({"staff", "person", "accesslog", "process"})
"""Of which a mere look may leave a trace, or time that passes."""

Way = Callable[[str], tuple[PartAction, ...]]
Opens = Callable[["Spot", str | None], Awaitable[Iterable[str]]]


def always(*actions: PartAction) -> Way:
    """The same steps from every state."""
    return lambda _: actions


def along(*actions: PartAction, **elsewhere: tuple[PartAction, ...]) -> Way:
    """These steps, but from some states others: () where the door leads nowhere."""
    return lambda state: elsewhere.get(state, actions)


@dataclass(frozen=True)
class Door:
    """A way in to the table: for whom it is, and along which steps it leads."""

    name: str
    by: frozenset[Role]
    way: Way
    """From a state, the steps that are taken; all but the last in the name of the system."""
    opens: Opens
    """Knocks, as somebody; the codes of the refusals."""
    tells: bool = False
    """Where the table has no such step nothing is refused: a fact is written down, or done otherwise."""
    states: tuple[str, ...] = ()
    """Where it is tried; everywhere when none is named."""
    alike: bool = False
    """It asks for no name: whoever has the key is let in, as those whom it is for."""


@dataclass
class Spot:
    """One part of somebody's case, which can be put into each of its states."""

    bench: "Bench"
    table: str
    id: UUID
    put: Callable[[str], Awaitable[None]]
    case: Dossier | None = None
    applicant: str | None = None
    known: dict[str, Any] = field(default_factory=dict)
    """What its doors must know beside it."""
    confirms: str | None = None
    """Who is asked to confirm it."""

    @property
    def town(self) -> Town:
        return self.bench.town

    def node(self, kind: str) -> str:
        return encode_id(kind, self.id)

    async def status(self) -> str:
        rows = await self.town.sql(f'SELECT status FROM "{self.table}" WHERE id = :id', id=self.id)  # noqa: S608  # ours
        return str(rows[0].status)

    async def wishes(self, who: str | None, action: str, **arguments: Any) -> list[str]:  # noqa: ANN401  # as `tries`
        """The refusals of a mutation that somebody tries."""
        payload = await self.town.tries(self.person(who), action, **arguments)
        return [one["code"] for one in payload["errors"]]

    def person(self, who: str | None) -> str | None:
        return self.applicant if who == APPLICANT else who

    def roles(self, who: str | None) -> frozenset[Role]:
        """In which quality somebody acts on this part."""
        if who == APPLICANT:
            return frozenset({Role.APPLICANT}) if self.applicant else frozenset()
        if who == SYSTEM:
            return frozenset({Role.SYSTEM})
        if who is not None and who == self.confirms:
            return frozenset({Role.CO_APPLICANT})
        return STAFF.get(who or "", frozenset())


# ── trying ────────────────────────────────────────────────────────────────────────────────────────────


def led_to(machine: Machine[Any, PartAction], door: Door, state: str, roles: Iterable[Role]) -> str | None:
    """Where `door` leads somebody with these roles, by the table; None where they may not go."""
    way, at = door.way(state), state
    mine = frozenset(roles) & door.by
    for number, action in enumerate(way):
        step = machine.find(at, action)
        may = mine if number == len(way) - 1 else mine | {Role.SYSTEM}
        if step is None or not mine or not step.by & may:
            return None
        at = step.to
    return at if way else None


async def tried(machine: Machine[Any, PartAction], door: Door, spot: Spot) -> list[str]:
    """What is otherwise than the table says: everybody tries this door in each state."""
    wrong: list[str] = []
    for state in door.states or sorted(map(str, machine.states())):
        await spot.bench.put(spot, state)
        people = (SYSTEM,) if door.by == {Role.SYSTEM} else (NOBODY,) if door.alike else PEOPLE
        roles = {who: door.by if door.alike else spot.roles(who) for who in people}
        ends = {who: led_to(machine, door, state, roles[who]) for who in people}
        before = await spot.bench.marks()
        loud = False
        for who in [one for one, to in ends.items() if to is None]:
            heard = door.tells and bool(roles[who] & door.by)
            loud = loud or heard
            told = set(await door.opens(spot, who))
            if told - REFUSALS or (not told and not heard and who != SYSTEM):
                wrong.append(f"{door.name} in {state} by {who}: {told or 'granted'}")
            if (now := await spot.status()) != state:
                wrong.append(f"{door.name} in {state} by {who}: it became {now}")
                await spot.bench.put(spot, state)
        changed = await spot.bench.changed(before)
        if changed and not loud and SYSTEM not in ends:
            wrong.append(f"{door.name} in {state}: refused, but {changed} changed")
        for who, to in ends.items():
            if to is None:
                continue
            await spot.bench.put(spot, state)
            told = set(await door.opens(spot, who))
            if told or await spot.status() != to:
                wrong.append(f"{door.name} in {state} by {who}: {told or ''} {await spot.status()}, not {to}")
    return wrong


# ── the bench ─────────────────────────────────────────────────────────────────────────────────────────


class _Town(Town):
    """With somebody who is an operator and nothing else: of the personas, the operator handles too."""

    async def post(self, who: str | None, document: str, variables: Mapping[str, Any] | None = None) -> Json:
        if who != OPERATOR_ALONE:
            return await super().post(who, document, variables)
        headers = {"Cookie": f"{cookie_name(self.served.loket.settings)}={OPERATOR_ALONE}".replace(" ", "")}
        body = {"query": document, "variables": dict(variables or {})}
        told: Json = (await self.client.post("/graphql", json=body, headers=headers)).json()
        return told


@dataclass
class Bench:
    town: Town
    _clean: dict[str, str] = field(default_factory=dict)

    # ── undoing ───────────────────────────────────────────────────────────────────────────────────────

    async def keep(self) -> None:
        """From now on everything can be as it is now."""
        parts = [f"CREATE SCHEMA {_KEPT}"]
        parts += [f'CREATE TABLE {_KEPT}."{one.name}" AS TABLE "{one.name}"' for one in _tables()]
        for part in parts:
            await self.town.sql(part)
        self._clean = await self.marks()

    async def undo(self) -> None:
        """What was changed since is as it was: only those tables are touched."""
        changed = set(await self.changed(self._clean))
        tables = [one for one in _tables() if one.name in changed]
        parts = [_without_new(one) for one in reversed(tables)] + [_as_kept(one) for one in tables]
        if "bankentry" in changed:
            parts.insert(0, _UNMATCHED)
        if parts:
            await self.town.sql(f"DO $$ BEGIN {' '.join(parts)} END $$")
            self._clean = await self.marks()

    async def put(self, spot: Spot, state: str) -> None:
        """A part into a state, and everything else as it was kept."""
        await self.undo()
        await spot.put(state)
        await self.town.sql(
            f'UPDATE "{spot.table}" SET status = :state WHERE id = :id',  # noqa: S608  # ours
            state=state,
            id=spot.id,
        )

    async def marks(self) -> dict[str, str]:
        """By table, how many rows there are and when the last one was written."""
        parts = [
            f"SELECT '{one.name}' AS name, concat(count(*), ' ', max(xmin::text::bigint)) AS mark"  # noqa: S608  # ours
            f' FROM "{one.name}"'
            for one in _tables()
            if one.name not in _APART
        ]
        return {row.name: row.mark for row in await self.town.sql(" UNION ALL ".join(parts))}

    async def changed(self, before: Mapping[str, str]) -> list[str]:
        return sorted(name for name, now in (await self.marks()).items() if now != before[name])

    # ── what happens by itself ────────────────────────────────────────────────────────────────────────

    async def fires(self, kind: TimerKind, *, case_id: UUID | None, subject: UUID) -> None:
        """A deadline comes, as a worker lets it."""
        id = uuid7()
        await self.town.sql(
            "DELETE FROM timer WHERE kind = :kind AND subject_id = :subject AND state = 'ARMED'",
            kind=kind, subject=subject,
        )  # fmt: skip
        await self.town.sql(
            "INSERT INTO timer (id, case_id, subject_id, kind, due_at, state, number)"
            " VALUES (:id, :case_id, :subject, :kind, now(), 'ARMED', 1)",
            id=id, case_id=case_id, subject=subject, kind=kind,
        )  # fmt: skip
        await timers.fire(self.town.served.loket, id)

    async def carries_out(
        self, kind: EffectKind, case_id: UUID, payload: Json | None = None, *, effect_id: UUID | None = None
    ) -> None:
        """An effect, as a worker does: the newest of its kind, or one with this payload or id."""
        loket = self.town.served.loket
        async with loket.work(the_system()) as work:
            if payload is not None:
                case = await work.session.get_one(Case, case_id)
                effect = await work.leave(kind, payload, case=case)
            else:
                wanted = select(Effect).where(col(Effect.case_id) == case_id, col(Effect.kind) == kind)
                if effect_id is not None:
                    wanted = wanted.where(col(Effect.id) == effect_id)
                found = await work.session.scalars(wanted.order_by(col(Effect.seq).desc()).limit(1))
                effect = found.one()
        done = await effects.carry_out(loket, effect)
        if done.then is not None:
            async with loket.work(the_system()) as work:
                await done.then(work)


_UNMATCHED = "UPDATE bankentry SET status = 'OPEN', payment_id = NULL, payout_id = NULL;"
"""A movement that was there before holds on to the new payment that it was matched with."""


@cache
def _tables() -> list[Any]:
    return list(SQLModel.metadata.sorted_tables)


def _same_row(table: Any) -> str:  # noqa: ANN401  # any table
    return " AND ".join(f't."{one.name}" = kept."{one.name}"' for one in table.primary_key.columns)


def _without_new(table: Any) -> str:  # noqa: ANN401  # any table
    same = f'SELECT FROM {_KEPT}."{table.name}" AS kept WHERE {_same_row(table)}'
    return f'DELETE FROM "{table.name}" AS t WHERE NOT EXISTS ({same});'  # noqa: S608  # ours


def _as_kept(table: Any) -> str:  # noqa: ANN401  # any table
    columns = [one for one in table.columns if one.computed is None]
    names = ", ".join(f'"{one.name}"' for one in columns)
    values = [
        f'"{one.name}" = excluded."{one.name}"' for one in columns if not one.identity and not one.primary_key
    ]
    key = ", ".join(f'"{one.name}"' for one in table.primary_key.columns)
    then = f"UPDATE SET {', '.join(values)}" if values else "NOTHING"
    kept = f'SELECT {names} FROM {_KEPT}."{table.name}"'  # noqa: S608  # ours
    return (
        f'INSERT INTO "{table.name}" ({names}) OVERRIDING SYSTEM VALUE {kept} ON CONFLICT ({key}) DO {then};'
    )


@asynccontextmanager
async def bench(database_url: str, folder: Path, **changed: object) -> AsyncIterator[Bench]:
    short = httpx2.Limits(max_connections=100, keepalive_expiry=1.0)
    async with (
        served(database_url, folder, **changed) as found,
        httpx2.AsyncClient(base_url=found.url, trust_env=False, limits=short, timeout=60) as client,
    ):
        yield Bench(_Town(found, client))


@asynccontextmanager
async def at_work(bench: Bench) -> AsyncIterator[None]:
    """While the cases are made, effects are carried out and deadlines come."""
    worker = Worker(bench.town.served.loket)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await running


async def everybody_signs_in(bench: Bench) -> None:
    """So that nobody is written down for the first time while they try."""
    for who in (*STAFF.keys() - {OPERATOR_ALONE}, STRANGER, "greet"):
        await bench.town.ask(who, "{ viewer { kind } }")
    await bench.town.sql(
        "INSERT INTO websession (token_hash, staff_id, roles, expires_at)"
        " SELECT :hash, id, CAST(:roles AS jsonb), :expires_at FROM staff WHERE given_name = 'Greet'",
        hash=token_hash(OPERATOR_ALONE.replace(" ", "")),
        roles='["LoketBeheerder"]',
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
