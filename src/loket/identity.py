"""Who is asking, as what: by a cookie session of the website, or by a Bearer token of anything else.

Tokens are kept as hashes only. A cookie session is looked up at every request, so that signing out holds at
once on every machine; of a Bearer token ACM/IDM is asked at most every half minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import orjson
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from starlette.requests import cookie_parser

from loket.app import Loket
from loket.departments import departments_of, roles_of
from loket.errors import ErrorCode, Refused
from loket.lifecycle import Role
from loket.records import ActorKind, Person, Staff
from loket.settings import Settings
from loket.systems.acmidm import Kind, SignIn
from loket.vault import token_hash
from loket.work import Actor

LANGUAGES = ("nl", "en", "fr", "de")
BEARERS_KEPT = 10_000
LONGEST_TOKEN = 4096
SERVICES = UUID("5d8d5a3e-6a3e-5b0f-9a53-0d0a6a0b7c11")
"""Service accounts have no row: their ids are made of their client_id, in this space (RFC 9562)."""


class SessionKind(StrEnum):
    COOKIE = "COOKIE"
    """Comes along from any page of the same site: changes need an allowed origin and a JSON body."""
    BEARER = "BEARER"


@dataclass(frozen=True)
class Authenticated:
    """Who asks, until when that is known, and by what."""

    actor: Actor
    expires_at: datetime
    session: SessionKind


# --- who asks ---------------------------------------------------------------------------------


async def actor_of(loket: Loket, headers: Mapping[str, str]) -> Authenticated | None:
    """Who sends these headers, of a request or of a socket; None for somebody who is not signed in.

    Raises:
        Refused: SIGN_IN_REQUIRED for a Bearer token that is false, has expired or is not for us; NOT_ALLOWED
            for staff without a role here. (A cookie that stands for nothing any more is nobody's.)
        Unavailable: ACM/IDM does not answer.
    """
    authorization = headers.get("authorization")
    if authorization is not None:
        found = await _bearer(loket, authorization)
    else:
        token = cookie_parser(headers.get("cookie", "")).get(cookie_name(loket.settings))
        session = await _session(loket, token) if token else None
        if session is None:
            return None
        found = session
    language = language_of(headers, found.actor.language)
    if language == found.actor.language:
        return found
    return replace(found, actor=replace(found.actor, language=language))


def language_of(headers: Mapping[str, str], otherwise: str = "nl") -> str:
    """The language that the caller likes best (Accept-Language) among those that Loket speaks."""
    accepted = headers.get("accept-language")
    if accepted is None:
        return otherwise
    best, weight = otherwise, 0.0
    for one in accepted[:500].split(","):
        name, _, rest = one.strip().partition(";")
        language = name.partition("-")[0].strip().lower()
        try:
            quality = float(rest.strip().removeprefix("q=")) if rest else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and quality > weight:
            best, weight = language, quality
    return best


def origin_allowed(settings: Settings, headers: Mapping[str, str]) -> bool:
    """Whether a page of ours or of the website sends this; also when it comes from no page at all.

    Browsers send Origin with every change and every socket; for a cookie session this must hold.
    """
    origin = headers.get("origin")
    return origin is None or origin in allowed_origins(settings)


def allowed_origins(settings: Settings) -> frozenset[str]:
    return frozenset(origin_of(url) for url in (settings.public_url, settings.website_url))


def safe_return(settings: Settings, address: str) -> str | None:
    """Where a browser may be sent back to: an address of ours or of the website, else None."""
    if any(one.isspace() or not one.isprintable() or one == "\\" for one in address):
        return None
    if address.startswith("/") and not address.startswith("//"):
        return settings.public_url + address
    try:
        parts = urlsplit(address)
        allowed = parts.scheme in ("http", "https") and "@" not in parts.netloc
        return address if allowed and origin_of(address) in allowed_origins(settings) else None
    except ValueError:
        return None


def cookie_name(settings: Settings) -> str:
    """Over https with a prefix that keeps other hosts and plain http from setting it (RFC 6265bis)."""
    return "__Host-loket_session" if is_secure(settings) else "loket_session"


def origin_of(url: str) -> str:
    """scheme://host[:port] as browsers write it. Raises `ValueError` for what is no address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_secure(settings: Settings) -> bool:
    return settings.public_url.startswith("https://")


async def _bearer(loket: Loket, authorization: str) -> Authenticated:
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN:
        raise Refused(ErrorCode.SIGN_IN_REQUIRED)
    facts = await loket.systems.acmidm.introspect(token)
    if facts is None:
        raise Refused(ErrorCode.SIGN_IN_REQUIRED)
    key = token_hash(token)
    before = loket.bearers.get(key)
    # the same object: ACM was not asked anew, so nothing can have changed
    if before is None or before[0] is not facts:
        while len(loket.bearers) >= BEARERS_KEPT:
            del loket.bearers[next(iter(loket.bearers))]
        async with loket.database.transaction() as session:
            before = facts, await actor_behind(loket, session, facts)
        loket.bearers[key] = before
    return Authenticated(before[1], facts.expires_at, SessionKind.BEARER)


async def _session(loket: Loket, token: str) -> Authenticated | None:
    found = await loket.database.fetch_json(SESSION, (token_hash(token),))
    if found is None:
        return None
    person_id, staff_id, roles, acr, expires_at, given_name, family_name, language = orjson.loads(found)
    actor = (
        _citizen(UUID(person_id), given_name, family_name, language, acr)
        if person_id is not None
        else _worker(UUID(staff_id), given_name, family_name, tuple(roles), acr)
    )
    return Authenticated(actor, datetime.fromisoformat(expires_at), SessionKind.COOKIE)


SESSION = """
    SELECT json_build_array(
               s.person_id, s.staff_id, s.roles, s.acr, s.expires_at,
               coalesce(p.given_name, t.given_name), coalesce(p.family_name, t.family_name), p.language)
      FROM websession s LEFT JOIN person p ON p.id = s.person_id LEFT JOIN staff t ON t.id = s.staff_id
     WHERE s.token_hash = $1 AND s.expires_at > now()
"""


# --- whom we know -----------------------------------------------------------------------------


async def actor_behind(loket: Loket, session: AsyncSession, sign_in: SignIn) -> Actor:
    """The person, member of staff or service account behind a sign-in; people are written down at first.

    Raises:
        Refused: NOT_ALLOWED for staff without a role here.
    """
    if sign_in.kind is Kind.SERVICE:
        return _service(loket, sign_in.subject)
    if sign_in.kind is Kind.STAFF:
        if not roles_of(sign_in.roles):
            raise Refused(ErrorCode.NOT_ALLOWED)
        staff = await _staff(session, sign_in)
        return _worker(staff.id, staff.given_name, staff.family_name, sign_in.roles, sign_in.acr)
    person = await _person(loket, session, sign_in)
    return _citizen(person.id, person.given_name, person.family_name, person.language, sign_in.acr)


async def _person(loket: Loket, session: AsyncSession, sign_in: SignIn) -> Person:
    if sign_in.insz is None:
        raise Refused(ErrorCode.NOT_ALLOWED)
    index = loket.vault.index("insz", sign_in.insz)
    known = select(Person).where((col(Person.insz_index) == index) | (col(Person.former_insz_index) == index))
    person = (await session.scalars(known)).one_or_none()
    if person is None:
        # whoever signs in twice at once is still one person: the second waits here for the first
        await session.execute(
            insert(Person)
            .values(
                insz_sealed=loket.vault.seal(sign_in.insz),
                insz_index=index,
                given_name=sign_in.given_name or "",
                family_name=sign_in.family_name or "",
                created_at=datetime.now(UTC),
            )
            .on_conflict_do_nothing(index_elements=["insz_index"])
        )
        person = (await session.scalars(known)).one()
    return person


async def _staff(session: AsyncSession, sign_in: SignIn) -> Staff:
    row = insert(Staff).values(
        subject=sign_in.subject,
        given_name=sign_in.given_name or "",
        family_name=sign_in.family_name or "",
        organisation=sign_in.organisation or "",
        roles=list(sign_in.roles),
        seen_at=datetime.now(UTC),
    )
    told = ("given_name", "family_name", "organisation", "roles", "seen_at")
    found = await session.scalars(
        row.on_conflict_do_update(
            index_elements=["subject"], set_={name: row.excluded[name] for name in told}
        ).returning(Staff),
        execution_options={"populate_existing": True},
    )
    return found.one()


def _citizen(id: UUID, given_name: str, family_name: str, language: str, acr: str | None) -> Actor:
    name = f"{given_name} {family_name}".strip()
    return Actor(ActorKind.CITIZEN, name, frozenset({Role.APPLICANT}), id, language, acr)


def _worker(id: UUID, given_name: str, family_name: str, roles: tuple[str, ...], acr: str | None) -> Actor:
    name = f"{given_name} {family_name}".strip()
    return Actor(ActorKind.STAFF, name, roles_of(roles), id, acr=acr, departments=departments_of(roles))


def _service(loket: Loket, client_id: str) -> Actor:
    """A body outside that asks and answers by machine, under its own name."""
    bodies = loket.settings.acmidm.service_accounts.bodies_of(client_id)
    asked = (one.adviser(key) for one in loket.procedures.values() for key in bodies)
    name = next((one.title.nl for one in asked if one is not None), client_id)
    id = uuid5(SERVICES, client_id)
    return Actor(ActorKind.SERVICE, name, frozenset({Role.ADVISER}), id, bodies=bodies)
