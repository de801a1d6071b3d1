"""Sign-in: against the sandbox's ACM/IDM, and against one that cheats."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from flemish import CALLBACK, KBO, Credentials
from loket import settings
from loket.errors import Declined, Unavailable
from loket.sandbox import acmidm as sandbox_acmidm
from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import person
from loket.systems.acmidm import AcmIdm, Kind, roles_at
from loket.systems.acmidm_client import MachineTokens, public_jwks, read_key
from raw_server import HANG_UP, Answer, RawServer, raw_server

VERIFIER = "een-verificatiecode-van-minstens-drieenveertig-tekens"
NONCE = "n-0S6_WzA2Mj"


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials.made_in(tmp_path_factory.mktemp("loket"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials.made_in(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
async def running(credentials: Credentials) -> AsyncIterator[House]:
    async with sandbox(credentials.sandbox(), (sandbox_acmidm.SYSTEM,)) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.states["acmidm"].forget_requests()
    return running


@pytest.fixture
async def acm(credentials: Credentials, house: House) -> AsyncIterator[AcmIdm]:
    acm = AcmIdm(credentials.acmidm(house.config.url("acmidm")), kbo=KBO, redirect_uri=CALLBACK)
    yield acm
    await acm.aclose()


async def signed_in_as(acm: AcmIdm, key: str, audience: Kind) -> dict[str, str]:
    """What the browser brings back to the callback after choosing `key`."""
    url = acm.authorization_url("s-1", NONCE, VERIFIER, audience=audience)
    form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    async with httpx2.AsyncClient(trust_env=False) as browser:
        answer = await browser.post(url.partition("?")[0], data={**form, "persona": key})
    assert answer.status_code == 303
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def token_of(house: House, key: str) -> str:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(house.config.url("acmidm") + "/sim/token", params={"persona": key})
    return str(answer.json()["access_token"])


def asked(house: House, path: str) -> list[dict[str, Any]]:
    return house.states["acmidm"].received(path)


# ── Signing in ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_citizen_signs_in_with_their_national_number(acm: AcmIdm) -> None:
    back = await signed_in_as(acm, "an", Kind.CITIZEN)
    an = person("an")
    assert an is not None
    assert back["state"] == "s-1"

    signed_in = await acm.exchange(back["code"], VERIFIER, NONCE)

    assert signed_in.kind is Kind.CITIZEN
    assert (signed_in.insz, signed_in.given_name, signed_in.family_name) == (an.insz, "An", "Peeters")
    assert signed_in.roles == ()
    assert signed_in.organisation is None
    assert 3500 < (signed_in.expires_at - datetime.now(UTC)).total_seconds() < 3700
    assert an.insz not in repr(signed_in)


async def test_staff_sign_in_with_the_roles_that_they_have_here(acm: AcmIdm) -> None:
    back = await signed_in_as(acm, "greet", Kind.STAFF)

    signed_in = await acm.exchange(back["code"], VERIFIER, NONCE)

    assert signed_in.kind is Kind.STAFF
    assert signed_in.roles == ("LoketBeheerder", "LoketBehandelaar")
    assert signed_in.organisation == KBO


async def test_a_code_works_once(acm: AcmIdm) -> None:
    back = await signed_in_as(acm, "an", Kind.CITIZEN)
    await acm.exchange(back["code"], VERIFIER, NONCE)

    with pytest.raises(Declined, match="invalid_grant"):
        await acm.exchange(back["code"], VERIFIER, NONCE)


async def test_a_stolen_code_is_worthless_without_the_verifier(acm: AcmIdm) -> None:
    back = await signed_in_as(acm, "an", Kind.CITIZEN)

    with pytest.raises(Declined, match="code_verifier"):
        await acm.exchange(back["code"], VERIFIER[::-1], NONCE)


async def test_an_answer_to_another_sign_in_is_refused(acm: AcmIdm) -> None:
    back = await signed_in_as(acm, "an", Kind.CITIZEN)

    with pytest.raises(Declined, match="nonce"):
        await acm.exchange(back["code"], VERIFIER, "another-nonce")


async def test_our_addresses_are_those_of_the_discovery_document(acm: AcmIdm, house: House) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        found = (await client.get(house.config.url("acmidm") + "/op/.well-known/openid-configuration")).json()

    sign_in = acm.authorization_url("s", NONCE, VERIFIER, audience=Kind.CITIZEN, language="fr")
    assert sign_in.partition("?")[0] == found["authorization_endpoint"]
    assert parse_qs(urlsplit(sign_in).query)["ui_locales"] == ["fr"]
    leave = acm.logout_url(return_to="http://127.0.0.1:8000/", state="x")
    assert leave.partition("?")[0] == found["end_session_endpoint"]
    assert parse_qs(urlsplit(leave).query)["client_id"] == ["loket"]


async def test_a_client_whose_key_acm_does_not_know_is_declined(
    stranger: Credentials, house: House, acm: AcmIdm
) -> None:
    back = await signed_in_as(acm, "an", Kind.CITIZEN)
    impostor = AcmIdm(stranger.acmidm(house.config.url("acmidm")), kbo=KBO, redirect_uri=CALLBACK)

    with pytest.raises(Declined, match="invalid_client"):
        await impostor.exchange(back["code"], VERIFIER, NONCE)
    await impostor.aclose()


async def test_each_client_assertion_is_new_and_lives_a_minute(acm: AcmIdm, house: House) -> None:
    token = await token_of(house, "an")
    await acm.introspect(token)
    await acm.introspect(token[:-1])

    bodies = [parse_qs(request["body"]) for request in asked(house, "/op/v1/introspect")]
    claims = [_payload(body["client_assertion"][0]) for body in bodies]
    assert len({claim["jti"] for claim in claims}) == len(claims) == 2
    assert {claim["exp"] - claim["iat"] for claim in claims} == {60}
    assert {claim["aud"] for claim in claims} == {house.config.url("acmidm") + "/op/v1/token"}


def _payload(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


# ── ID tokens that cannot be trusted ──────────────────────────────────────────────────────────────────


@cache
def rsa_key(name: str) -> RSAKey:
    """The same key for the same name; making one takes a tenth of a second."""
    return RSAKey.generate_key(2048, {"kid": name})


class CheatingAcm:
    """An ACM whose ID token a test makes up."""

    def __init__(self, raw: RawServer) -> None:
        self.raw = raw
        self.issuer = f"{raw.url}/op"
        self.key = rsa_key("first")
        self.access_token = "an-access-token"  # made up

    def claims(self, **changes: object) -> dict[str, Any]:
        digest = hashlib.sha256(self.access_token.encode()).digest()[:16]
        now = int(time.time())
        right: dict[str, object] = {
            "iss": self.issuer,
            "aud": "loket",
            "azp": "loket",
            "sub": "H5kAX",
            "iat": now,
            "exp": now + 3600,
            "nonce": NONCE,
            "at_hash": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "rrn": "84631251272",
        }
        return {name: value for name, value in {**right, **changes}.items() if value is not None}

    def signed(self, claims: dict[str, Any], key: RSAKey | None = None) -> str:
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key, algorithms=["RS256"])

    def answers(self, id_token: str, *after: Answer, keys: list[RSAKey] | None = None) -> None:
        public = [key.as_dict(private=False) for key in keys or [self.key]]
        tokens = {"access_token": self.access_token, "id_token": id_token, "expires_in": 3600}
        self.raw.answers = [Answer(document=tokens), Answer(document={"keys": public}), *after]


@pytest.fixture
async def cheat() -> AsyncIterator[CheatingAcm]:
    async with raw_server(Answer()) as raw:
        yield CheatingAcm(raw)


@pytest.fixture
async def cheated(cheat: CheatingAcm, credentials: Credentials) -> AsyncIterator[AcmIdm]:
    acm = AcmIdm(credentials.acmidm(cheat.raw.url), kbo=KBO, redirect_uri=CALLBACK)
    yield acm
    await acm.aclose()


async def test_the_made_up_acm_is_believed_when_all_is_right(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    cheat.answers(cheat.signed(cheat.claims()))

    assert (await cheated.exchange("c", VERIFIER, NONCE)).insz == "84631251272"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://elsewhere.example/op"}, "iss"),
        ({"aud": "another-client"}, "aud"),
        ({"aud": ["loket", "another-client"], "azp": "another-client"}, "azp"),
        ({"azp": "another-client"}, "azp"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"iat": 4_000_000_000}, "in the future"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash"),
        ({"sub": None}, "sub"),
    ],
)
async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    cheat: CheatingAcm, cheated: AcmIdm, changes: dict[str, Any], reason: str
) -> None:
    cheat.answers(cheat.signed(cheat.claims(**changes)))

    with pytest.raises(Declined, match=reason):
        await cheated.exchange("c", VERIFIER, NONCE)


async def test_a_tampered_id_token_is_refused(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    head, _, signature = cheat.signed(cheat.claims()).split(".")
    _, other, _ = cheat.signed(cheat.claims(rrn="82693031718")).split(".")
    cheat.answers(f"{head}.{other}.{signature}")

    with pytest.raises(Declined, match="bad_signature"):
        await cheated.exchange("c", VERIFIER, NONCE)


async def test_an_unsigned_id_token_is_refused(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    _, body, _ = cheat.signed(cheat.claims()).split(".")
    nothing = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    cheat.answers(f"{nothing}.{body}.")

    with pytest.raises(Declined, match="not valid"):
        await cheated.exchange("c", VERIFIER, NONCE)


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    cheat: CheatingAcm, cheated: AcmIdm
) -> None:
    _, body, _ = cheat.signed(cheat.claims()).split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}').decode().rstrip("=")
    cheat.answers(f"{head}.{body}.{'A' * 43}")

    with pytest.raises(Declined, match="not valid"):
        await cheated.exchange("c", VERIFIER, NONCE)


async def test_a_new_key_of_acm_is_fetched_when_first_met(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    cheat.answers(cheat.signed(cheat.claims()))
    await cheated.exchange("c", VERIFIER, NONCE)

    new = rsa_key("second")
    cheat.answers(cheat.signed(cheat.claims(), new), keys=[cheat.key, new])
    assert (await cheated.exchange("c", VERIFIER, NONCE)).subject == "H5kAX"
    assert [one.target for one in cheat.raw.asked] == ["/op/v1/token", "/op/v1/keys"] * 2


async def test_a_key_that_acm_does_not_publish_is_refused(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    cheat.answers(cheat.signed(cheat.claims(), rsa_key("second")))

    with pytest.raises(Declined, match="not valid"):
        await cheated.exchange("c", VERIFIER, NONCE)


async def test_a_national_number_that_the_id_token_lacks_comes_from_userinfo(
    cheat: CheatingAcm, cheated: AcmIdm
) -> None:
    userinfo = Answer(document={"sub": "H5kAX", "rrn": "84631251272", "given_name": "An"})
    cheat.answers(cheat.signed(cheat.claims(rrn=None)), userinfo)

    signed_in = await cheated.exchange("c", VERIFIER, NONCE)

    assert (signed_in.insz, signed_in.given_name) == ("84631251272", "An")
    assert cheat.raw.asked[-1].headers["authorization"] == "Bearer an-access-token"


async def test_userinfo_of_somebody_else_is_refused(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    cheat.answers(
        cheat.signed(cheat.claims(rrn=None)), Answer(document={"sub": "other", "rrn": "82693031718"})
    )

    with pytest.raises(Declined, match="somebody else"):
        await cheated.exchange("c", VERIFIER, NONCE)


async def test_a_company_is_neither_citizen_nor_staff(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    cheat.answers(cheat.signed(cheat.claims(vo_doelgroepcode="EA", vo_orgcode="0400000000")))

    with pytest.raises(Declined, match="neither"):
        await cheated.exchange("c", VERIFIER, NONCE)


async def test_staff_of_another_municipality_have_no_roles_here(cheat: CheatingAcm, cheated: AcmIdm) -> None:
    elsewhere = {"vo_doelgroepcode": "LB", "vo_orgcode": "0207999999"}
    cheat.answers(cheat.signed(cheat.claims(**elsewhere, loket_rol_3d=["LoketBehandelaar:0207999999"])))

    signed_in = await cheated.exchange("c", VERIFIER, NONCE)

    assert (signed_in.kind, signed_in.organisation, signed_in.roles) == (Kind.STAFF, "0207999999", ())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HANG_UP, "no answer"),
        (Answer(503, headers={"Retry-After": "7"}), "503"),
        (Answer(429), "429"),
        (Answer(body=b"<html>onderhoud</html>"), "not a JSON object"),
        (Answer(document={"token_type": "Bearer"}), "no tokens"),
    ],
)
async def test_an_acm_in_trouble_is_unavailable(
    cheat: CheatingAcm, cheated: AcmIdm, answer: Answer, reason: str
) -> None:
    cheat.raw.answers = [answer]

    with pytest.raises(Unavailable, match=reason) as caught:
        await cheated.exchange("c", VERIFIER, NONCE)
    assert caught.value.retry_after_seconds == (7.0 if answer.status == 503 else None)


# ── Access tokens ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_tells_who_carries_it(acm: AcmIdm, house: House) -> None:
    citizen = await acm.introspect(await token_of(house, "an"))
    staff = await acm.introspect(await token_of(house, "hilde"))

    assert citizen is not None
    assert staff is not None
    assert (citizen.kind, citizen.insz) == (Kind.CITIZEN, "84631251272")
    assert citizen.scopes == {"openid", "profile", "rrn"}
    assert (staff.kind, staff.roles) == (Kind.STAFF, ("LoketBehandelaar-Milieudienst",))


async def test_a_made_up_token_is_nobody_s(acm: AcmIdm) -> None:
    assert await acm.introspect("geen-echt-token") is None


async def test_a_machine_s_token_is_no_person_s(acm: AcmIdm, house: House, credentials: Credentials) -> None:
    async with machine(credentials, house) as tokens:
        assert await acm.introspect(await tokens.token()) is None


async def test_many_requests_with_one_token_ask_acm_once(acm: AcmIdm, house: House) -> None:
    token = await token_of(house, "an")

    first = await asyncio.gather(*(acm.introspect(token) for _ in range(20)))
    again = await acm.introspect(token)

    assert len({id(facts) for facts in [*first, again]}) == 1
    assert len(asked(house, "/op/v1/introspect")) == 1


async def test_a_request_that_goes_away_leaves_the_answer_to_the_others(acm: AcmIdm, house: House) -> None:
    token = await token_of(house, "an")
    gone = asyncio.create_task(acm.introspect(token))
    stays = asyncio.create_task(acm.introspect(token))
    await asyncio.sleep(0)
    gone.cancel()

    assert await stays is not None


@pytest.mark.parametrize(("cache_seconds", "asked_times"), [(30, 1), (0, 2)])
async def test_an_answer_is_kept_as_long_as_the_setting_says(
    credentials: Credentials, cache_seconds: int, asked_times: int
) -> None:
    async with raw_server(Answer(document=_facts(lives_seconds=3600))) as raw:
        section = credentials.acmidm(raw.url, cache_seconds=cache_seconds)
        acm = AcmIdm(section, kbo=KBO, redirect_uri=CALLBACK)
        assert await acm.introspect("t") is not None
        assert await acm.introspect("t") is not None
        assert len(raw.asked) == asked_times
        await acm.aclose()


async def test_who_goes_on_working_does_not_wait_while_acm_is_asked_anew(credentials: Credentials) -> None:
    answers = Answer(document=_facts(lives_seconds=3600)), Answer(document={"active": False})
    async with raw_server(*answers) as raw:
        acm = AcmIdm(credentials.acmidm(raw.url, cache_seconds=3), kbo=KBO, redirect_uri=CALLBACK)
        first = await acm.introspect("t")
        await asyncio.sleep(2.1)
        raw.another.clear()
        assert await acm.introspect("t") is first
        async with asyncio.timeout(0.8):  # before what was said ends to hold
            await raw.another.wait()
            while await acm.introspect("t") is not None:  # noqa: ASYNC110  # nothing else tells
                await asyncio.sleep(0.01)
        await acm.aclose()


async def test_an_acm_in_trouble_takes_nothing_back_before_its_time(credentials: Credentials) -> None:
    answers = Answer(document=_facts(lives_seconds=3600)), Answer(status=503)
    async with raw_server(*answers) as raw:
        acm = AcmIdm(credentials.acmidm(raw.url, cache_seconds=3), kbo=KBO, redirect_uri=CALLBACK)
        first = await acm.introspect("t")
        await asyncio.sleep(2.1)
        raw.another.clear()
        assert await acm.introspect("t") is first
        await raw.another.wait()
        await asyncio.sleep(0.1)
        assert await acm.introspect("t") is first
        await asyncio.sleep(1.0)
        with pytest.raises(Unavailable):
            await acm.introspect("t")
        await acm.aclose()


async def test_a_token_is_not_believed_after_its_end(credentials: Credentials) -> None:
    answers = Answer(document=_facts(lives_seconds=0.3)), Answer(document={"active": False})
    async with raw_server(*answers) as raw:
        acm = AcmIdm(credentials.acmidm(raw.url), kbo=KBO, redirect_uri=CALLBACK)
        assert await acm.introspect("t") is not None
        await asyncio.sleep(0.35)
        assert await acm.introspect("t") is None
        await acm.aclose()


@pytest.mark.parametrize(
    "changes",
    [
        {"active": False},
        {"active": "true"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"client_id": "another-app"},
        {"aud": ["another-api"]},
        {"iss": "https://elsewhere.example/op"},
        {"sub": None},
        {"rrn": "8463125127"},
    ],
)
async def test_a_token_that_does_not_hold_for_us_is_nobody_s(
    credentials: Credentials, changes: dict[str, Any]
) -> None:
    async with raw_server(Answer(document=_facts(lives_seconds=60) | changes)) as raw:
        acm = AcmIdm(credentials.acmidm(raw.url), kbo=KBO, redirect_uri=CALLBACK)
        assert await acm.introspect("t") is None
        await acm.aclose()


def _facts(*, lives_seconds: float) -> dict[str, Any]:
    return {
        "active": True,
        "client_id": "loket",
        "exp": time.time() + lives_seconds,
        "sub": "H5kAX",
        "rrn": "84631251272",
        "scope": "rrn",
    }


@pytest.mark.parametrize(
    ("claim", "roles"),
    [
        (["LoketBehandelaar:0207500123"], ("LoketBehandelaar",)),
        (["LoketBehandelaar:0207500124"], ()),
        (["LoketBehandelaar:0207500124, 0207500123"], ("LoketBehandelaar",)),
        (["LoketBehandelaar-SocialeDienst:0207500123", "LoketFinancien:0207500123"],
         ("LoketBehandelaar-SocialeDienst", "LoketFinancien")),
        ("LoketBehandelaar:0207500123", ("LoketBehandelaar",)),
        (["LoketBehandelaar"], ()),
        (["0207500123"], ()),
        ([":0207500123"], ()),
        ([7, None], ()),
        (None, ()),
    ],
)  # fmt: skip
def test_only_roles_at_our_own_municipality_count(claim: object, roles: tuple[str, ...]) -> None:
    assert roles_at(claim, KBO) == roles


# ── Machine tokens ────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def machine(credentials: Credentials, house: House) -> AsyncIterator[MachineTokens]:
    section = credentials.acmidm(house.config.url("acmidm"))
    tokens = MachineTokens(section, token_url=f"{section.issuer}/v1/token", scope="DosisImport")
    yield tokens
    await tokens.aclose()


async def test_many_calls_share_one_token(credentials: Credentials, house: House) -> None:
    async with machine(credentials, house) as tokens:
        first = set(await asyncio.gather(*(tokens.token() for _ in range(10))))

        assert len(first) == 1
        assert len(asked(house, "/op/v1/token")) == 1


async def test_a_forgotten_token_is_asked_anew(credentials: Credentials, house: House) -> None:
    async with machine(credentials, house) as tokens:
        first = await tokens.token()
        tokens.invalidate("an older one")
        assert await tokens.token() == first
        tokens.invalidate()
        assert await tokens.token() != first


@pytest.mark.parametrize(("lifetime", "asked_times"), [(3600, 1), (181, 1), (100, 1), (0, 2)])
async def test_a_token_is_renewed_before_it_ends(
    credentials: Credentials, lifetime: int, asked_times: int
) -> None:
    async with raw_server(Answer(document={"access_token": "t", "expires_in": lifetime})) as raw:
        tokens = MachineTokens(credentials.acmidm(raw.url), token_url=f"{raw.url}/op/v1/token", scope="x")
        await tokens.token()
        await tokens.token()
        assert len(raw.asked) == asked_times
        await tokens.aclose()


async def test_a_scope_that_acm_did_not_grant_is_declined(credentials: Credentials, house: House) -> None:
    section = credentials.acmidm(house.config.url("acmidm"))
    tokens = MachineTokens(section, token_url=f"{section.issuer}/v1/token", scope="Elders")
    with pytest.raises(Declined, match="invalid_scope"):
        await tokens.token()
    await tokens.aclose()


# ── The key ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_public_key_set_holds_no_secret(credentials: Credentials) -> None:
    (key,) = public_jwks(credentials.key)["keys"]

    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert key["kid"] == read_key(credentials.key).thumbprint()


def test_a_key_file_that_cannot_be_used_names_the_setting(credentials: Credentials, tmp_path: Path) -> None:
    for file in _useless_keys(credentials, tmp_path):
        with pytest.raises(settings.SettingsError, match="LOKET_ACMIDM_PRIVATE_KEY_FILE"):
            read_key(str(file))


def _useless_keys(credentials: Credentials, folder: Path) -> Iterator[Path]:
    yield folder / "missing.pem"
    yield Path(credentials.certificate)
    public = folder / "public.pem"
    public.write_bytes(read_key(credentials.key).as_pem(private=False))
    yield public
