"""A toy office: enough of a schema to try the engine on, over real tables."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

import psycopg_pool
import strawberry
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from strawberry import ID
from strawberry.scalars import JSON
from uuid_utils.compat import uuid7

from loket.api.limits import Limits
from loket.api.live import LiveSchema as Schema
from loket.api.naming import described, described_argument, enumeration, input_type, output
from loket.api.payloads import USER_ERRORS, Payload
from loket.api.reads import (
    EVERYBODY,
    NOBODY,
    Allowed,
    Connection,
    Node,
    anyone,
    by_column,
    by_id,
    column,
    computed,
    condition,
    entity,
    expression,
    listed,
    many,
    money,
    newest,
    object_by_id,
    objects_by_id,
    oldest,
    one,
    orders,
    parts,
)
from loket.api.roots import mutation, root, subscription
from loket.api.scalars import Cursor, Money
from loket.database import Database
from loket.errors import ErrorCode, ManyRefused, Refused, Unavailable
from loket.ids import decode_id

T = TypeVar("T")
metadata = MetaData()


class Status(StrEnum):
    """Where a dossier stands."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Stage(StrEnum):
    """A step."""

    SCREENING = "screening"
    DELIVERY = "delivery"


enumeration(Status, {"OPEN": "Being handled.", "CLOSED": "Done."}, name="ToyStatus")
enumeration(Stage, {"SCREENING": "Looked at.", "DELIVERY": "On its way."}, name="ToyStage")

persons = Table(
    "toy_person",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", String, nullable=False),
    Column("born_on", Date),
    Column("secret", LargeBinary),
)
dossiers = Table(
    "table",  # a word that SQL reserves
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("reference", String, nullable=False, unique=True),
    Column("person_id", ForeignKey("toy_person.id"), nullable=False),
    Column("handler_id", ForeignKey("toy_person.id")),
    Column("status", Enum(Status, native_enum=False), nullable=False),
    Column(
        "stage",
        Enum(Stage, native_enum=False, values_callable=lambda kind: [one.value for one in kind]),
        nullable=False,
    ),
    Column("amount", Numeric(12, 2)),
    Column("weight", Float, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("department", String, nullable=False),
    Column("answers", JSONB, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("title", JSONB, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Index("toy_of_status", "status", "submitted_at", "id"),
    Index("toy_of_both", "department", "status", "submitted_at", "id"),
)
notes = Table(
    "toy_note",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("dossier_id", ForeignKey("table.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("text", String, nullable=False),
    Column("internal", Boolean, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
remembered = Table(
    "toy_remembered",
    metadata,
    Column("actor", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
)


# --- who asks ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scope:
    kind: str = "ANONYMOUS"


@dataclass(frozen=True)
class Viewer:
    scope: Scope
    person_id: UUID | None = None
    departments: tuple[str, ...] = ()
    language: str = "nl"

    @property
    def kind(self) -> str:
        return self.scope.kind

    @property
    def signed_in(self) -> bool:
        return self.scope.kind != "ANONYMOUS"


ANONYMOUS = Viewer(Scope())


def citizen(person_id: UUID, language: str = "nl") -> Viewer:
    return Viewer(Scope("CITIZEN"), person_id=person_id, language=language)


def staff(*departments: str, language: str = "nl") -> Viewer:
    return Viewer(Scope("STAFF"), departments=departments, language=language)


class Hub:
    """What subscribers wait for; counts who is still there."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[Any]] = set()

    def publish(self, event: object) -> None:
        for queue in self.queues:
            queue.put_nowait(event)

    async def listen(self) -> AsyncGenerator[Any, None]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.queues.discard(queue)


class Memory:
    """Idempotency keys in a table."""

    async def recall(self, work: AsyncSession, *, actor: str, key: str, request_hash: bytes) -> bytes | None:
        connection = await work.connection()
        found = (
            await connection.exec_driver_sql(
                "INSERT INTO toy_remembered (actor, key, hash) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING key",
                (actor, key, request_hash),
            )
        ).first()
        if found is not None:
            return None
        row = (
            await connection.exec_driver_sql(
                "SELECT hash, answer FROM toy_remembered WHERE actor = %s AND key = %s", (actor, key)
            )
        ).one()
        if row.hash != request_hash:
            raise Refused(ErrorCode.IDEMPOTENCY_MISMATCH, path=["idempotencyKey"])
        return bytes(row.answer)

    async def remember(self, work: AsyncSession, *, actor: str, key: str, answer: bytes) -> None:
        connection = await work.connection()
        await connection.exec_driver_sql(
            "UPDATE toy_remembered SET answer = %s WHERE actor = %s AND key = %s", (answer, actor, key)
        )


@dataclass
class Context:
    viewer: Viewer
    reader: Database
    hub: Hub = field(default_factory=Hub)
    memory: Memory = field(default_factory=Memory)
    last_event_id: str | None = None
    expires_at: datetime | None = None

    @property
    def queries(self) -> Database:
        return self.reader

    async def informed(self, act: Callable[[], Awaitable[T]]) -> T:
        """Nothing is published in this office."""
        return await act()

    @property
    def actor_key(self) -> str:
        return f"{self.viewer.kind}:{self.viewer.person_id}"

    @asynccontextmanager
    async def transaction(self, policy: Allowed | None = None) -> AsyncGenerator[AsyncSession, None]:
        async with self.reader.transaction() as session:
            yield session


# --- policies ---------------------------------------------------------------------------------


def signed_in(scope: Scope) -> bool:
    return scope.kind != "ANONYMOUS"


def only_staff(scope: Scope) -> bool:
    return scope.kind == "STAFF"


def own_or_department(scope: Scope) -> str:
    match scope.kind:
        case "CITIZEN":
            return "{t}.person_id = {viewer.person_id}"
        case "STAFF":
            return "{t}.department = ANY({viewer.departments}::text[])"
        case _:
            return NOBODY


OF_A_DOSSIER = 'EXISTS (SELECT 1 FROM "table" d WHERE d.id = {t}.dossier_id AND {policy})'


def of_a_dossier(scope: Scope) -> str:
    mine = OF_A_DOSSIER.replace("{policy}", own_or_department(scope).replace("{t}", "d"))
    return mine if only_staff(scope) else "NOT {t}.internal AND " + mine


def everybody_signed_in(scope: Scope) -> str:
    return EVERYBODY if signed_in(scope) else NOBODY


# --- types ------------------------------------------------------------------------------------


@output
class Line:
    """A line of a dossier."""

    product: str = described("What.")
    quantity: int = described("How many.")
    price: Decimal | None = described("Each.")


@output
class ToyAction:
    """Something that may be done."""

    name: str = described("Which.")
    enabled: bool = described("Whether now.")
    reason: str | None = described("Why not.")


@entity(persons, policy=everybody_signed_in)
class Person(Node):
    """Somebody."""

    name: str = column("How they are called.")
    born_on: date | None = column("When born.", allowed=only_staff)
    dossiers: Connection["Dossier"] = many("What they asked.", on="person_id")

    @computed("secret")
    def masked(row: dict[str, Any], viewer: Viewer) -> str | None:  # noqa: N805  # no self
        """A masked number."""
        return None if row["secret"] is None else f"***{bytes.fromhex(row['secret'])[-2:].decode()}"


@input_type
class NoteFilter:
    """Which notes."""

    text: str | None = condition("With these words.", "{t}.text ILIKE '%' || {value} || '%'")
    before: datetime | None = condition("Written before.", "{t}.at < {value}")


NOTE_ORDER = orders(
    "NoteOrder",
    "In which order notes come.",
    NUMBER_ASC=(oldest("number"), "First written first."),
    NEWEST=(newest("at"), "Last written first."),
)


@entity(notes, policy=of_a_dossier)
class Note(Node):
    """Words on a dossier."""

    number: int = column("Its number.")
    text: str = column("The words.")
    at: datetime = column("When.")
    dossier: "Dossier" = one("On which dossier.", on="dossier_id", with_parent=True)


@input_type
class DossierFilter:
    """Which dossiers."""

    status: list[Status] | None = condition("In one of these.", "{t}.status = ANY({value}::text[])")
    applicant: ID | None = condition("Of this person.", "{t}.person_id = {value}", by_id="Person")
    submitted_from: datetime | None = condition("Submitted since.", "{t}.submitted_at >= {value}")
    at_least: Decimal | None = condition("Of at least this amount.", "{t}.amount >= {value}")
    urgent: bool | None = condition("Urgent or not.", "{t}.urgent = {value}")


DOSSIER_ORDER = orders(
    "DossierOrder",
    "In which order dossiers come.",
    NEWEST=(newest("submitted_at"), "Last submitted first."),
    OLDEST=(oldest("submitted_at"), "First submitted first."),
    BY_DEPARTMENT=(oldest("department", "submitted_at"), "By department."),
    BY_WEIGHT=(newest("urgent", "reference"), "Urgent first."),
)


@entity(dossiers, policy=own_or_department)
class Dossier(Node):
    """What is handled."""

    reference: str = column("The public reference.")
    status: Status = column("Where it stands.")
    stage: Stage = column("Its step.")
    amount: Money | None = money("What it costs.", "amount")
    exact: Decimal | None = column("The amount as a number.", "amount")
    weight: float = column("In kilograms.")
    urgent: bool = column("Whether it hurries.")
    answers: JSON = column("What was filled in.")
    submitted_at: datetime = column("When it was handed in.")
    title: str = expression(
        "Its title in your language.", "coalesce({t}.title ->> {viewer.language}::text, {t}.title ->> 'nl')"
    )
    lines: list[Line] = parts(
        "What is asked.",
        "{t}.lines",
        {
            "product": "{t} ->> 'product'",
            "quantity": "({t} ->> 'quantity')::int",
            "price": "({t} ->> 'price')::numeric",
        },
    )
    person: Person = one("Who asked.", on="person_id", with_parent=True)
    handler: Person | None = one("Who handles it.", on="handler_id")
    last_note: Note | None = one(
        "The last words.", where="{t}.dossier_id = {parent}.id", order="{t}.at DESC, {t}.id DESC"
    )
    notes: Connection[Note] = many("Words.", on="dossier_id", filter=NoteFilter, orders=NOTE_ORDER)
    first_notes: list[Note] = listed(
        "The first three.", on="dossier_id", order="{t}.number, {t}.id", at_most=3
    )
    department: str | None = column("Who handles it.", allowed=only_staff)

    @computed("status", "urgent", number="(SELECT count(*) FROM toy_note n WHERE n.dossier_id = {t}.id)")
    def actions(row: dict[str, Any], viewer: Viewer) -> list[ToyAction]:  # noqa: N805  # as above
        """What you may do."""
        open_ = row["status"] == "OPEN"
        return [
            ToyAction(name="close", enabled=open_, reason=None if open_ else "closed"),
            ToyAction(name=f"read-{row['number']}-{viewer.language}", enabled=True, reason=None),
        ]

    @computed("reference")
    def shout(
        row: dict[str, Any],  # noqa: N805  # as above
        viewer: Viewer,
        times: Annotated[int, described_argument("How often.")] = 1,
    ) -> str:
        """The reference, louder."""
        if times < 0:
            raise Refused(ErrorCode.VALIDATION, reason="negative")
        if times > 1000:
            raise RuntimeError("secret internals")
        return str(row["reference"]) + "!" * times


@entity(None, policy=everybody_signed_in)
class Me:
    """You."""

    kind: str = expression("What you are.", "{viewer.kind}::text")
    cursor: Cursor = expression("Where the stream stands.", "pg_snapshot_xmin(pg_current_snapshot())::text")
    dossiers: Connection[Dossier] = many("Yours.", where="TRUE", orders=DOSSIER_ORDER)


@output
class Recipe:
    """Something that stands in a file."""

    key: str = described("Its key.")
    title: str = described("Its title.")


@strawberry.type(description="What can be read.")
class Query:
    me: Me | None = one("You.", policy=signed_in)
    node: Node | None = object_by_id(policy=anyone)
    nodes: list[Node | None] = objects_by_id(policy=anyone)
    dossier: Dossier | None = one(
        "One by its reference.", by=by_column("reference", str, "Which."), policy=anyone
    )
    dossier_by_id: Dossier | None = one("One by its id.", by=by_id("Dossier", "Which."), policy=anyone)
    dossiers: Connection[Dossier] = many(
        "All that you may see.", filter=DossierFilter, orders=DOSSIER_ORDER, policy=signed_in
    )
    persons: Connection[Person] = many("Everybody.", policy=only_staff)

    @root(policy=anyone)
    def recipes(self, info: strawberry.Info) -> list[Recipe]:
        """What stands in files."""
        return [Recipe(key="bin", title="A bin"), Recipe(key="tree", title="A tree")]

    @root(policy=anyone)
    def broken(self, info: strawberry.Info) -> str | None:
        """Always fails."""
        raise RuntimeError("password=hunter2")

    @root(policy=anyone)
    async def slow(self, info: strawberry.Info) -> str | None:
        """Takes its time."""
        await asyncio.sleep(5)
        return "late"


@output
class NoteAddPayload(Payload):
    """The note."""

    note: Note | None = described("What was written.", default=None)
    dossier: Dossier | None = described("On what.", default=None)
    notes: list[Note] = described("All of its notes.", default_factory=list)


@input_type
class NoteInput:
    """Words."""

    text: str = described("The words.")
    fail: str | None = described("How to fail.", default=None)


async def write_note(session: AsyncSession, id: str, input: NoteInput) -> NoteAddPayload:
    if input.fail is not None and input.fail.isdigit():
        await lose(session, input.text, int(input.fail))
    elif input.fail is not None:
        await fail(input.fail)
    dossier_id = decode_id(id, "Dossier", path=["id"])
    connection = await session.connection()
    found = await connection.execute(
        select(notes.c.id, notes.c.number).where(notes.c.dossier_id == dossier_id)
    )
    numbers = [row.number for row in found]
    key = uuid7()
    await connection.execute(
        insert(notes).values(
            id=key,
            dossier_id=dossier_id,
            number=max(numbers, default=0) + 1,
            text=input.text,
            internal=False,
            at=datetime.now(UTC),
        )
    )
    return NoteAddPayload(note=Note.of(key), dossier=Dossier.of(dossier_id), notes=[Note.of(key)])


LOST: Counter[str] = Counter()


async def lose(session: AsyncSession, words: str, times: int) -> None:
    """Be undone by the database, for the sake of another, the first so many times that this is tried."""
    LOST[words] += 1
    if LOST[words] <= times:
        code = {1: "40001", 2: "40P01"}[LOST[words]]
        lost = f"DO $$ BEGIN RAISE EXCEPTION 'secret row' USING ERRCODE = '{code}'; END $$"
        await (await session.connection()).exec_driver_sql(lost)


async def fail(how: str) -> None:
    match how:
        case "many":
            raise ManyRefused(
                [
                    Refused(ErrorCode.REQUIRED, path=["input", "text"]),
                    Refused(ErrorCode.VERSION_CONFLICT, current=7),
                    Refused(
                        ErrorCode.TRANSITION_NOT_ALLOWED, status="OPEN", extra={"allowed_actions": ["CANCEL"]}
                    ),
                    Refused(ErrorCode.RULE_NOT_MET, reason="too old", extra={"rule": "age"}),
                    Refused(ErrorCode.SLOT_FULL, extra={"alternatives": [ALTERNATIVE]}),
                ]
            )
        case "writers":
            raise PoolTimeout("secret pool")
        case "readers":
            raise psycopg_pool.PoolTimeout("secret pool")
        case "unavailable":
            raise Unavailable("MAGDA", "secret host name")
        case _:
            raise RuntimeError("secret internals")


ALTERNATIVE = {
    "id": "x",
    "starts_at": datetime(2026, 11, 27, 8, tzinfo=UTC),
    "ends_at": datetime(2026, 11, 27, 12, tzinfo=UTC),
}


@strawberry.type(description="What can be done.")
class Mutation:
    @mutation(policy=signed_in)
    async def note_add(
        self,
        work: AsyncSession,
        info: strawberry.Info,
        id: Annotated[ID, described_argument("On which dossier.")],
        input: Annotated[NoteInput, described_argument("What.")],
        idempotency_key: str,
    ) -> NoteAddPayload:
        """Write a note."""
        return await write_note(work, id, input)

    @mutation(policy=only_staff)
    async def staff_only(self, info: strawberry.Info) -> NoteAddPayload:
        """Not for everybody."""
        return NoteAddPayload()


@strawberry.type(description="What can be followed.")
class Subscription:
    @subscription(policy=signed_in)
    async def note_written(
        self, info: strawberry.Info, after: Annotated[Cursor | None, described_argument("Since.")] = None
    ) -> AsyncGenerator[Note, None]:
        """Each note as it is written."""
        context: Context = info.context
        if after is not None:
            yield Note.of(UUID(after), cursor=after)
        async for event in context.hub.listen():
            yield event


def schema(limits: Limits | None = None) -> Schema:
    return Schema(Query, Mutation, Subscription, types=USER_ERRORS, limits=limits)


# --- rows -------------------------------------------------------------------------------------

START = datetime(2026, 11, 1, 9, 30, 0, 125, tzinfo=UTC)
PEOPLE = [UUID(int=0x01900000000070008000000000000000 + number) for number in range(4)]
DOSSIERS = [UUID(int=0x01910000000070008000000000000000 + number) for number in range(25)]


async def fill(database: Database) -> None:
    """Four people, 25 dossiers in two departments, up to six notes on each."""
    async with database.transaction() as session:
        connection = await session.connection()
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
        await connection.execute(
            insert(persons),
            [
                {
                    "id": key,
                    "name": name,
                    "born_on": date(1980 + number, 1, 31) if number else None,
                    "secret": name.encode() if number % 2 else None,
                }
                for number, (key, name) in enumerate(
                    zip(PEOPLE, ["An", "Bert", 'Carla "C" \u2028', "Dirk"], strict=True)
                )
            ],
        )
        await connection.execute(insert(dossiers), [_dossier(number) for number in range(len(DOSSIERS))])
        await connection.execute(
            insert(notes),
            [_note(number, place) for number in range(len(DOSSIERS)) for place in range(number % 7)],
        )


def _dossier(number: int) -> dict[str, Any]:
    return {
        "id": DOSSIERS[number],
        "reference": f"D-{number:03}",
        "person_id": PEOPLE[number % 3],
        "handler_id": PEOPLE[3] if number % 2 else None,
        "status": Status.OPEN if number % 3 else Status.CLOSED,
        "stage": Stage.DELIVERY if number % 5 else Stage.SCREENING,
        "amount": Decimal(number * 5) / 4 if number % 4 else None,
        "weight": number / 2,
        "urgent": number % 6 == 0,
        "department": "environment" if number % 2 else "social",
        "answers": {"z": 1, "a": [True, None, 1.5, "\u00e9"]} if number % 2 else {},
        "lines": [{"product": "bin", "quantity": one, "price": "12.50"} for one in range(number % 3)],
        "title": {"nl": f"Vat {number}"} | ({"en": f"Bin {number}"} if number % 2 else {}),
        "submitted_at": START + timedelta(days=number // 2),
    }


def _note(number: int, place: int) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "dossier_id": DOSSIERS[number],
        "number": place + 1,
        "text": ["hello", "100 %", "it's {braces}", "two\nlines", "", "bye"][place],
        "internal": place == 4,
        "at": START + timedelta(hours=place),
    }
