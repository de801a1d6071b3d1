"""Whether who follows still is who they were when they began: asked anew for each event.

A cookie session is looked up, of all who follow the same with one statement; of a Bearer token ACM/IDM is
asked as for any request, so at most every half minute.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import orjson
from starlette.requests import cookie_parser

from loket import identity
from loket.app import Loket
from loket.departments import departments_of, roles_of
from loket.errors import ErrorCode, Failed, Refused
from loket.vault import token_hash
from loket.work import Actor

_SESSIONS = """
    SELECT coalesce(json_object_agg(encode(token_hash, 'hex'), roles), '{}')
      FROM websession WHERE token_hash = ANY($1::bytea[]) AND expires_at > now()
"""


class Standing:
    """By what somebody signed in, and who that made them."""

    __slots__ = ("__weakref__", "_facts", "actor", "authorization", "session", "until")

    def __init__(self, found: identity.Authenticated, authorization: str, session: bytes) -> None:
        self.actor = found.actor
        self.until = found.expires_at
        self.authorization = authorization
        self.session = session
        """Hash of a cookie's token, where it is by that."""
        self._facts: object = None
        """What ACM/IDM said last: the same object says the same."""

    def has_roles(self, names: tuple[str, ...]) -> bool:
        """Whether a session with these is as it was."""
        if not self.actor.is_staff:
            return True
        return self.actor.roles == roles_of(names) and self.actor.departments == departments_of(names)

    async def is_carried(self, loket: Loket) -> bool:
        """Whether the Bearer token still makes them who they were. Raises `Failed`: ACM/IDM does not say."""
        token = self.authorization.partition(" ")[2].strip()
        facts = await loket.systems.acmidm.introspect(token)
        if facts is None:
            return False
        if facts is not self._facts:
            found = await identity.actor_of(loket, {"authorization": self.authorization})
            if found is None or _plain(found.actor) != _plain(self.actor):
                return False
            self._facts = facts
        return True


class Standings:
    """Of all who are connected: one for each token, however many connections it opened."""

    def __init__(self, loket: Loket) -> None:
        self._cookie = identity.cookie_name(loket.settings)
        self._known: WeakValueDictionary[str | bytes, Standing] = WeakValueDictionary()

    def of(self, found: identity.Authenticated, headers: Mapping[str, str]) -> Standing:
        """Of who was `found` by these headers."""
        authorization, session = headers.get("authorization", ""), b""
        if found.session is identity.SessionKind.COOKIE:
            authorization, session = "", token_hash(cookie_parser(headers["cookie"])[self._cookie])
        key = session or authorization
        known = self._known.get(key)
        if known is None or known.until != found.expires_at or _plain(known.actor) != _plain(found.actor):
            known = self._known[key] = Standing(found, authorization, session)
        return known


def _plain(actor: Actor) -> Actor:
    """Without what changes nothing of what they may see."""
    return replace(actor, language="nl", name="")


async def fallen(loket: Loket, asked: AbstractSet[Standing | None]) -> dict[Standing, Refused]:
    """Those who may be told nothing more, and why: EXPIRED, or SYSTEM_UNAVAILABLE where it can not be known.

    None stands for whom nobody asks: what is done in this process itself.
    """
    now = datetime.now(UTC)
    everybody = {one for one in asked if one is not None}
    gone = {one for one in everybody if one.until <= now}
    sessions = {one for one in everybody - gone if one.session}
    if sessions:
        found = await loket.database.fetch_json(_SESSIONS, ([one.session for one in sessions],))
        known: dict[str, list[str]] = orjson.loads(found or b"{}")
        for one in sessions:
            roles = known.get(one.session.hex())
            if roles is None or not one.has_roles(tuple(roles)):
                gone.add(one)
    refused: dict[Standing, Refused] = {}
    for one in everybody - gone - sessions:
        try:
            if not await one.is_carried(loket):
                gone.add(one)
        except Refused:
            gone.add(one)
        except Failed as fault:
            refused[one] = Refused(ErrorCode.SYSTEM_UNAVAILABLE, system=fault.system)
    return refused | dict.fromkeys(gone, Refused(ErrorCode.EXPIRED))
