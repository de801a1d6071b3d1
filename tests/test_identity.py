"""Who asks: the whole sign-in as a browser does it, sessions, Bearer tokens, and what must not work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import func, select, text, update
from sqlmodel import col

from loket import departments, identity
from loket.app import Loket
from loket.lifecycle import Role
from loket.records import Person, SignInAttempt, Staff, WebSession
from loket.sandbox.personas import person
from loket.settings import Settings, SettingsError
from loket.vault import token_hash
from loket.web import assemble
from served import Served, served

COOKIE = "loket_session"
WEBSITE = "https://www.lindebeke.example"


@pytest.fixture(scope="module")
async def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with served(module_database_url, tmp_path_factory.mktemp("loket")) as found:
        yield found


@asynccontextmanager
async def browser(world: Served) -> AsyncIterator[httpx2.AsyncClient]:
    """Keeps cookies, follows nothing by itself."""
    async with httpx2.AsyncClient(base_url=world.url, trust_env=False) as one:
        yield one


async def to_acm(one: httpx2.AsyncClient, persona: str, **asked: str) -> str:
    """Where ACM sends a browser back to, once somebody chose to be `persona` there."""
    begun = await one.get("/auth/login", params=asked)
    assert begun.status_code == 303, begun.text
    there = urlsplit(begun.headers["location"])
    form = {name: values[0] for name, values in parse_qs(there.query).items()}
    chosen = await one.post(begun.headers["location"].partition("?")[0], data={**form, "persona": persona})
    assert chosen.status_code == 303, chosen.text
    return str(chosen.headers["location"])


async def sign_in(one: httpx2.AsyncClient, persona: str, **asked: str) -> httpx2.Response:
    return await one.get(await to_acm(one, persona, **asked))


async def who(one: httpx2.AsyncClient, **headers: str) -> dict[str, object]:
    answer = await one.get("/who", headers=headers)
    found: dict[str, object] = answer.json()
    return found


# ── signing in ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_citizen_signs_in_and_comes_back_to_the_website(world: Served) -> None:
    async with browser(world) as one:
        assert await who(one) == {"kind": "ANONYMOUS"}
        back = await sign_in(one, "an", **{"return": f"{WEBSITE}/compostbak?stap=2"})
        assert (back.status_code, back.headers["location"]) == (303, f"{WEBSITE}/compostbak?stap=2")
        found = await who(one)
    assert (found["kind"], found["name"], found["roles"]) == ("CITIZEN", "An Peeters", ["APPLICANT"])
    assert found["session"] == "COOKIE"


async def test_the_session_cookie_is_closed_to_scripts_and_its_token_is_kept_as_a_hash_only(
    world: Served,
) -> None:
    async with browser(world) as one:
        back = await sign_in(one, "bert")
        token = one.cookies[COOKIE]
    given = next(line for line in back.headers.get_list("set-cookie") if line.startswith(f"{COOKIE}="))
    assert "HttpOnly" in given
    assert "SameSite=lax" in given
    assert "Secure" not in given  # plain http on this machine
    assert len(token) >= 43
    async with world.loket.database.transaction() as session:
        kept = await session.get(WebSession, token_hash(token))
        everything = str((await session.execute(text("SELECT websession FROM websession"))).all())
    assert kept is not None
    assert kept.expires_at <= datetime.now(UTC) + timedelta(hours=8)
    assert token not in everything


async def test_over_https_cookies_are_secure_and_bound_to_the_host(world: Served) -> None:
    settings = Settings(public_url="https://loket.example")
    assert identity.cookie_name(settings) == "__Host-loket_session"
    async with Loket(replace(world.loket.settings, production=True)) as other:
        with pytest.raises(SettingsError, match="https"):
            assemble(other, [])


async def test_a_national_number_is_sealed_and_found_again(world: Served) -> None:
    dirk = person("dirk")
    assert dirk is not None
    for _ in range(2):
        async with browser(world) as one:
            await sign_in(one, "dirk")
    async with world.loket.database.transaction() as session:
        index = world.loket.vault.index("insz", dirk.insz)
        kept = (await session.scalars(select(Person).where(col(Person.insz_index) == index))).one()
        everything = str((await session.execute(text("SELECT person FROM person"))).all())
    assert kept.insz_sealed is not None
    assert world.loket.vault.open(kept.insz_sealed) == dirk.insz
    assert dirk.insz not in everything


async def test_somebody_who_signs_in_twenty_times_at_once_is_one_person(world: Served) -> None:
    async def once() -> object:
        async with browser(world) as one:
            await sign_in(one, "burger-77")
            return (await who(one))["id"]

    ids = await asyncio.gather(*(once() for _ in range(20)))
    assert len(set(ids)) == 1
    async with world.loket.database.transaction() as session:
        named = await session.scalar(select(func.count()).where(col(Person.id) == ids[0]))
    assert named == 1


async def test_staff_sign_in_with_the_roles_that_acm_gives_them(world: Served) -> None:
    async with browser(world) as one:
        await sign_in(one, "greet", audience="staff")
        found = await who(one)
    assert (found["kind"], found["roles"]) == ("STAFF", ["HANDLER", "OPERATOR"])
    async with world.loket.database.transaction() as session:
        staff = (await session.scalars(select(Staff).where(col(Staff.given_name) == "Greet"))).one()
    assert staff.organisation == "0207500123"


def test_a_role_of_a_department_counts_as_that_role_and_an_unknown_one_as_none() -> None:
    assert departments.roles_of(("LoketBehandelaar-SocialeDienst",)) == {Role.HANDLER}
    assert departments.roles_of(("LoketBehandelaarX", "Burgemeester", "")) == frozenset()
    every = ("LoketFinancien", "LoketUitvoerder", "LoketAdviseur", "LoketBeheerder")
    assert departments.roles_of(every) == {Role.FINANCE, Role.FIELD_WORKER, Role.ADVISER, Role.OPERATOR}


async def test_signing_in_again_ends_the_session_before(world: Served) -> None:
    async with browser(world) as one:
        await sign_in(one, "an")
        before = one.cookies[COOKIE]
        await sign_in(one, "carla")
        after = one.cookies[COOKIE]
        assert (await who(one))["name"] != "An Peeters"
    assert before != after
    async with browser(world) as thief:
        thief.cookies.set(COOKIE, before)
        assert await who(thief) == {"kind": "ANONYMOUS"}


async def test_two_windows_of_one_browser_can_sign_in_side_by_side(world: Served) -> None:
    async with browser(world) as one:
        first = await to_acm(one, "an")
        second = await to_acm(one, "an")
        assert (await one.get(first)).headers["location"] == WEBSITE
        assert (await one.get(second)).headers["location"] == WEBSITE


# ── what does not work ────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_state_signs_nobody_in(world: Served) -> None:
    async with browser(world) as one:
        back = urlsplit(await to_acm(one, "an"))
        asked = parse_qs(back.query)
        answer = await one.get("/auth/callback", params={"code": asked["code"][0], "state": "verzonnen"})
        assert answer.status_code == 400
        assert COOKIE not in one.cookies


async def test_a_state_works_once(world: Served) -> None:
    async with browser(world) as one:
        back = await to_acm(one, "an")
        assert (await one.get(back)).status_code == 303
        one.cookies.delete(COOKIE)
        again = await one.get(back)
    assert again.status_code == 400
    assert "verlopen" in again.text


async def test_a_code_that_was_used_before_signs_nobody_in(world: Served) -> None:
    async with browser(world) as one:
        used = parse_qs(urlsplit(await to_acm(one, "an")).query)["code"][0]
        fresh = parse_qs(urlsplit(await to_acm(one, "an")).query)["state"][0]
        answer = await one.get("/auth/callback", params={"code": used, "state": fresh})
    assert answer.status_code == 400
    assert "bevestigd" in answer.text


async def test_a_sign_in_that_began_in_another_browser_is_not_finished_here(world: Served) -> None:
    """Else a link of somebody else would have a citizen act under that one's name."""
    async with browser(world) as attacker, browser(world) as victim:
        back = await to_acm(attacker, "burger-5")
        await victim.get("/auth/login")
        assert (await victim.get(back)).status_code == 400
        assert await who(victim) == {"kind": "ANONYMOUS"}


async def test_an_attempt_of_more_than_ten_minutes_ago_is_over(world: Served) -> None:
    async with browser(world) as one:
        back = await to_acm(one, "an")
        async with world.loket.database.transaction() as session:
            await session.execute(update(SignInAttempt).values(expires_at=datetime.now(UTC)))
        assert (await one.get(back)).status_code == 400


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "https://www.lindebeke.example.evil.example/",
        "https://www.lindebeke.example@evil.example/",
        "https://evil.example\\@www.lindebeke.example/",
        "//evil.example/",
        "/\\evil.example/",
        "http://www.lindebeke.example/",
        "https://www.lindebeke.example:8443/",
        "javascript:alert(1)",
        "https://[",
        "https://www.lindebeke.example/\r\nSet-Cookie: x=y",
    ],
)
async def test_nobody_is_sent_to_a_foreign_address(world: Served, address: str) -> None:
    answer = await world.client.get("/auth/login", params={"return": address})
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_an_address_of_ours_may_be_short(world: Served) -> None:
    async with browser(world) as one:
        back = await sign_in(one, "an", **{"return": "/graphql"})
    assert back.headers["location"] == f"{world.url}/graphql"


async def test_an_unknown_audience_is_refused(world: Served) -> None:
    assert (await world.client.get("/auth/login", params={"audience": "koning"})).status_code == 400


async def test_who_breaks_off_at_acm_reads_why(world: Served) -> None:
    async with browser(world) as one:
        begun = await one.get("/auth/login")
        url = begun.headers["location"]
        form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        chosen = await one.post(url.partition("?")[0], data={**form, "cancel": "1"})
        answer = await one.get(chosen.headers["location"])
    assert answer.status_code == 400
    assert "afgebroken" in answer.text
    assert 'lang="nl"' in answer.text


async def test_when_acm_is_away_the_citizen_reads_so_and_no_more(world: Served) -> None:
    async with browser(world) as one:
        back = await to_acm(one, "an")
        faults = f"{world.acm}/sim/faults"
        await world.client.post(faults, json={"mode": "error", "path": "/op/v1/token", "count": 1})
        answer = await one.get(back)
    assert answer.status_code == 503
    assert "antwoordt nu niet" in answer.text
    assert "/op/v1" not in answer.text
    assert "Traceback" not in answer.text


async def test_an_expired_session_is_nobodys(world: Served) -> None:
    async with browser(world) as one:
        await sign_in(one, "burger-6")
        async with world.loket.database.transaction() as session:
            await session.execute(
                update(WebSession)
                .where(col(WebSession.token_hash) == token_hash(one.cookies[COOKIE]))
                .values(expires_at=datetime.now(UTC))
            )
        assert await who(one) == {"kind": "ANONYMOUS"}


@pytest.mark.parametrize("value", ["", "x", "a" * 5000, "0" * 43, "%00", "'; DROP TABLE person"])
async def test_a_tampered_cookie_is_nobodys(world: Served, value: str) -> None:
    answer = await world.client.get("/who", headers={"cookie": f"{COOKIE}={value}"})
    assert answer.json() == {"kind": "ANONYMOUS"}


# ── signing out ───────────────────────────────────────────────────────────────────────────────────────


async def test_signing_out_asks_first_ends_the_session_and_goes_by_acm(world: Served) -> None:
    async with browser(world) as one:
        await sign_in(one, "an")
        token = one.cookies[COOKIE]
        asked = await one.get("/auth/logout")
        assert asked.status_code == 200
        assert '<form method="post"' in asked.text
        assert (await who(one))["kind"] == "CITIZEN"
        out = await one.post("/auth/logout", headers={"origin": world.url})
        assert COOKIE not in one.cookies
    there = urlsplit(out.headers["location"])
    assert there.path == "/op/v1/logout"
    assert parse_qs(there.query)["post_logout_redirect_uri"] == [WEBSITE]
    async with browser(world) as thief:
        thief.cookies.set(COOKIE, token)
        assert await who(thief) == {"kind": "ANONYMOUS"}


async def test_another_site_cannot_sign_somebody_out(world: Served) -> None:
    async with browser(world) as one:
        await sign_in(one, "an")
        answer = await one.post("/auth/logout", headers={"origin": "https://evil.example"})
        assert answer.status_code == 403
        assert (await who(one))["kind"] == "CITIZEN"


def test_only_our_own_origins_may_use_a_cookie() -> None:
    settings = Settings(public_url="https://loket.lindebeke.example", website_url=f"{WEBSITE}/nl")
    assert identity.origin_allowed(settings, {})
    assert identity.origin_allowed(settings, {"origin": WEBSITE})
    assert identity.origin_allowed(settings, {"origin": "https://loket.lindebeke.example"})
    assert not identity.origin_allowed(settings, {"origin": "null"})
    assert not identity.origin_allowed(settings, {"origin": "https://lindebeke.example"})
    assert not identity.origin_allowed(settings, {"origin": f"{WEBSITE}.evil.example"})


# ── Bearer tokens ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_is_whoever_signed_in_with_it_by_cookie(world: Served) -> None:
    async with browser(world) as one:
        await sign_in(one, "fatima")
        by_cookie = await who(one)
    token = await world.token_of("fatima")
    by_token = await who(world.client, authorization=f"Bearer {token}")
    assert by_token["session"] == "BEARER"
    assert by_token["id"] == by_cookie["id"]


async def test_a_known_token_costs_neither_sql_nor_a_question_to_acm(world: Served) -> None:
    token = await world.token_of("hilde")
    first = await who(world.client, authorization=f"Bearer {token}")
    asked = len(world.house.states["acmidm"].received("/op/v1/introspect"))
    with world.loket.database.count() as statements:
        second = await who(world.client, authorization=f"Bearer {token}")
    assert [one for one in statements if "staff" in one] == []
    assert len(world.house.states["acmidm"].received("/op/v1/introspect")) == asked
    assert first == second
    assert first["roles"] == ["HANDLER"]


@pytest.mark.parametrize("value", ["Bearer verzonnen", "Bearer", "Basic YTpi", "Bearer " + "x" * 5000])
async def test_a_false_token_is_not_taken_for_nobody(world: Served, value: str) -> None:
    answer = await world.client.get("/who", headers={"authorization": value})
    assert (answer.status_code, answer.json()) == (401, {"code": "SIGN_IN_REQUIRED"})


async def test_staff_without_a_role_here_stay_outside(world: Served) -> None:
    state = world.house.states["acmidm"]
    token = await world.token_of("wim")
    kept = state.get("token", token)
    assert kept is not None
    state.put("token", token, kept | {"scope": "openid profile vo"})  # so no roles come along
    answer = await world.client.get("/who", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    async with world.loket.database.transaction() as session:
        known = await session.scalar(select(func.count()).where(col(Staff.given_name) == "Wim"))
    assert known == 0


async def test_a_token_counts_for_more_than_a_cookie(world: Served) -> None:
    async with browser(world) as one:
        await sign_in(one, "an")
        found = await who(one, authorization=f"Bearer {await world.token_of('hilde')}")
    assert found["kind"] == "STAFF"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("en-GB,en;q=0.9,nl;q=0.8", "en"),
        ("fr;q=0.3,de;q=0.7", "de"),
        ("es,pt;q=0.5", "nl"),
        ("nl;q=x, ;;, en;q=0", "nl"),
        ("*", "nl"),
    ],
)
async def test_the_language_is_the_one_the_caller_likes_best(
    world: Served, accepted: str, language: str
) -> None:
    token = await world.token_of("an")
    found = await who(world.client, authorization=f"Bearer {token}", **{"accept-language": accepted})
    assert found["language"] == language
