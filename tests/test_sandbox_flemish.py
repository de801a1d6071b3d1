"""The sandbox's Flemish systems, seen by a client that shares nothing with them or with Loket."""

import asyncio
import base64
import copy
import hashlib
import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod
from signxml.signer import XMLSigner

from loket.sandbox import acmidm, dosis, magda, notificaties
from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import Citizen, citizen_of, everyone, person

Json = Any
"""Whatever a body may hold."""
CALLBACK = "http://127.0.0.1:8000/auth/callback"
SENDER = "kb.vlaanderen.be/lindebeke/loket-aip"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
PERSON = "http://magda.vlaanderen.be/persoon/soap/geefpersoon/v02_02"
FAMILY = "http://magda.vlaanderen.be/persoon/soap/geefgezinssamenstelling/v02_02"
REGISTER = "http://webservice.registreerinschrijvingdienst-02_01.repertorium-02_01.vip.vlaanderen.be"
UNREGISTER = "http://webservice.registreeruitschrijvingdienst-02_00.repertorium-02_00.vip.vlaanderen.be"


@dataclass(frozen=True)
class Papers:
    """A key with its certificate, as MAGDA wants them."""

    key: rsa.RSAPrivateKey
    certificate: bytes

    @classmethod
    def made(cls) -> "Papers":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gemeente")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(7).not_valid_before(now - timedelta(days=1))
        certificate = builder.not_valid_after(now + timedelta(days=9)).sign(key, hashes.SHA256())
        return cls(key, certificate.public_bytes(Encoding.PEM))


FLEMISH = (acmidm.SYSTEM, magda.SYSTEM, dosis.SYSTEM, notificaties.SYSTEM)
KEY = RSAKey.generate_key(2048, auto_kid=True)
OURS = Papers.made()
THEIRS = Papers.made()


class Town:
    """A client of the whole sandbox."""

    def __init__(self, house: House, client: httpx2.AsyncClient) -> None:
        self.house = house
        self.client = client
        self.urls = house.config.urls
        self.token_url = self.urls["acmidm"] + "/op/v1/token"

    def assertion(
        self, *, key: RSAKey = KEY, header: dict[str, Any] | None = None, **claims: Json
    ) -> dict[str, str]:
        now = int(time.time())
        whole = {"iss": "loket", "sub": "loket", "aud": self.token_url, "iat": now, "exp": now + 60}
        whole |= {"jti": str(uuid.uuid4())} | claims
        header = {"alg": "RS256", "kid": KEY.kid} if header is None else header
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(header, whole, key),
        }

    async def bearer(self, scope: str = "DosisImport Notificaties") -> dict[str, str]:
        data = {"grant_type": "client_credentials", "scope": scope} | self.assertion()
        answer = await self.client.post(self.token_url, data=data)
        return {"authorization": f"Bearer {answer.json()['access_token']}"}

    async def authorize(self, persona: str | None = None, **changed: str) -> httpx2.Response:
        asked = {
            "client_id": "loket",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid profile rrn",
            "state": "s 1",
            "nonce": "n",
        } | changed
        url = self.urls["acmidm"] + "/op/v1/auth"
        if persona is None:
            return await self.client.get(url, params=asked)
        return await self.client.post(url, data=asked | {"persona": persona})

    async def code(self, persona: str, **changed: str) -> str:
        answer = await self.authorize(persona, **changed)
        return str(httpx2.URL(answer.headers["location"]).params["code"])

    async def exchange(self, code: str, **changed: str) -> httpx2.Response:
        data = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK} | changed
        return await self.client.post(self.token_url, data=data | self.assertion())

    async def magda(self, envelope: etree._Element, service: str) -> tuple[int, etree._Element]:
        url = f"{self.urls['magda']}/{service}/soap/WebService"
        headers = {"content-type": "text/xml;charset=UTF-8", "soapaction": '""'}
        answer = await self.client.post(url, content=etree.tostring(envelope), headers=headers)
        return answer.status_code, etree.fromstring(answer.content)

    async def ask(self, name: str, version: str, namespace: str, content: str) -> tuple[int, etree._Element]:
        return await self.magda(signed(soap(name, version, namespace, content)), f"{name}Dienst-{version}")

    async def register(self, insz: str, *, sender: str = SENDER) -> etree._Element:
        today = date.today().isoformat()  # noqa: DTZ011  # a period in days
        content = (
            f"<Inschrijving><Identificatie>{sender}</Identificatie><Hoedanigheid>1300</Hoedanigheid>"
            "<BetrokkenSubject><Type>PERS</Type><Subjecten><Subject><Type>PERS</Type>"
            f"<Sleutel>{insz}</Sleutel></Subject></Subjecten></BetrokkenSubject>"
            f"<Periode><Begin>{today}</Begin><Einde>2099-12-31</Einde></Periode></Inschrijving>"
        )
        _, answer = await self.ask("RegistreerInschrijving", "02.01", REGISTER, content)
        return answer

    async def person(self, insz: str) -> tuple[int, etree._Element]:
        return await self.ask("GeefPersoon", "02.02", PERSON, criteria(insz))

    async def report(self, dossier: dict[str, Any], headers: dict[str, str] | None = None) -> httpx2.Response:
        url = self.urls["dosis"] + "/api/v2/dosis/dossiers"
        return await self.client.post(url, json=dossier, headers=headers or await self.bearer())

    async def profile(self, system: str, insz: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.client.get(f"{self.urls[system]}/sim/mbp/{insz}")).json()
        return found


def configuration(**changed: Json) -> dict[str, Any]:
    client = {
        "client_id": "loket",
        "jwks": {"keys": [KEY.as_dict(private=False)]},
        "redirect_uris": [CALLBACK],
        "scopes": ["openid", "profile", "rrn", "vo", "loket", "DosisImport", "Notificaties"],
    }
    own = {"acmidm": {"clients": [client]}, "magda": {"certificate": OURS.certificate.decode()}}
    return {"port": 0} | own | changed


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
async def town(client: httpx2.AsyncClient) -> AsyncIterator[Town]:
    async with sandbox(configuration(), FLEMISH) as house:
        yield Town(house, client)


def insz_of(key: str) -> str:
    one = person(key)
    assert one is not None
    return one.insz


# --- the people ---------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 99_999))
def test_every_generated_citizen_has_a_valid_test_number_that_leads_back_to_them(number: int) -> None:
    one = person(f"burger-{number}")
    assert isinstance(one, Citizen)
    assert citizen_of(one.insz) == one
    assert 61 <= int(one.insz[2:4]) <= 72
    assert one.insz[9:] in (f"{97 - int(one.insz[:9]) % 97:02}", f"{97 - int('2' + one.insz[:9]) % 97:02}")


def test_no_two_people_share_a_national_number() -> None:
    numbers = [one.insz for one in everyone()]
    numbers += [insz_of(f"burger-{number}") for number in range(1, 100_000, 7)]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("key", ["burger-0", "burger-01", "burger-100000", "burger-x", "nobody"])
def test_a_key_outside_the_range_is_nobody(key: str) -> None:
    assert person(key) is None


# --- ACM/IDM ------------------------------------------------------------------------------------------------


async def test_a_citizen_signs_in_and_the_tokens_say_who_they_are(town: Town) -> None:
    page = await town.authorize()
    assert page.status_code == 200
    assert '<button name="persona" value="an"' in page.text
    back = await town.authorize("an", acr_values="urn:be:vlaanderen:authmech:eid")
    answer = httpx2.URL(back.headers["location"])
    assert str(answer).startswith(CALLBACK + "?code=")
    assert answer.params["state"] == "s 1"
    tokens = (await town.exchange(answer.params["code"])).json()
    discovery = (await town.client.get(town.urls["acmidm"] + "/op/.well-known/openid-configuration")).json()
    keys = KeySet.import_key_set((await town.client.get(discovery["jwks_uri"])).json())
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
    assert claims["iss"] == discovery["issuer"]
    assert (claims["aud"], claims["nonce"], claims["given_name"]) == ("loket", "n", "An")
    assert claims["rrn"] == insz_of("an")
    assert claims["acr"] == "urn:be:vlaanderen:authmech:eid"
    assert insz_of("an") not in claims["sub"]
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).decode().rstrip("=")


async def test_introspection_tells_who_holds_a_token_and_nothing_of_a_false_one(town: Town) -> None:
    tokens = (await town.exchange(await town.code("greet", scope="openid profile vo loket"))).json()
    url = town.urls["acmidm"] + "/op/v1/introspect"
    known = (await town.client.post(url, data={"token": tokens["access_token"]} | town.assertion())).json()
    assert known["active"] is True
    assert known["vo_doelgroepcode"] == "LB"
    assert known["loket_rol_3d"] == ["LoketBeheerder:0207500123", "LoketBehandelaar:0207500123"]
    assert 0 < known["exp"] - time.time() <= 8 * 3600
    false = (await town.client.post(url, data={"token": "made-up"} | town.assertion())).json()
    assert false == {"active": False}
    stranger = await town.client.post(url, data={"token": tokens["access_token"]})
    assert stranger.status_code == 401


async def test_a_citizen_has_no_roles_whatever_is_asked(town: Town) -> None:
    tokens = (await town.exchange(await town.code("an", scope="openid profile vo loket"))).json()
    answer = await town.client.get(
        town.urls["acmidm"] + "/op/v1/userinfo",
        headers={"authorization": f"Bearer {tokens['access_token']}"},
    )
    assert answer.json()["vo_doelgroepcode"] == "BUR"
    assert "loket_rol_3d" not in answer.json()


async def test_a_code_that_comes_twice_takes_its_token_back(town: Town) -> None:
    code = await town.code("an")
    token = (await town.exchange(code)).json()["access_token"]
    again = await town.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    url = town.urls["acmidm"] + "/op/v1/introspect"
    known = (await town.client.post(url, data={"token": token} | town.assertion())).json()
    assert known == {"active": False}


async def test_a_code_is_worth_nothing_after_a_minute(town: Town) -> None:
    code = await town.code("an")
    state = town.house.states["acmidm"]
    kept = state.get("code", code)
    assert kept is not None
    state.put("code", code, kept | {"at": kept["at"] - 61})
    assert (await town.exchange(code)).json()["error"] == "invalid_grant"


async def test_a_code_with_a_challenge_needs_its_verifier(town: Town) -> None:
    verifier = "v" * 43
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    without = await town.exchange(await town.code("an", **asked))
    wrong = await town.exchange(await town.code("an", **asked), code_verifier="w" * 43)
    right = await town.exchange(await town.code("an", **asked), code_verifier=verifier)
    assert [without.status_code, wrong.status_code, right.status_code] == [400, 400, 200]


async def test_a_code_is_not_exchanged_for_another_address(town: Town) -> None:
    answer = await town.exchange(await town.code("an"), redirect_uri=CALLBACK + "/")
    assert answer.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"scope": "openid profile geheim"}, "invalid_scope"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "S512", "code_challenge": "x"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_a_wrong_request_goes_back_before_anyone_is_asked_who_they_are(
    town: Town, changed: dict[str, str], error: str
) -> None:
    answer = await town.authorize(**changed)
    params = httpx2.URL(answer.headers["location"]).params
    assert (params["error"], params["state"]) == (error, "s 1")


@pytest.mark.parametrize("changed", [{"redirect_uri": CALLBACK + "?x=1"}, {"client_id": "someone"}])
async def test_nobody_is_sent_to_an_address_that_was_not_registered(
    town: Town, changed: dict[str, str]
) -> None:
    answer = await town.authorize("an", **changed)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_citizen_may_cancel(town: Town) -> None:
    answer = await town.authorize("", cancel="1")
    assert httpx2.URL(answer.headers["location"]).params["error"] == "access_denied"


async def test_a_script_may_skip_the_page_only_when_that_was_switched_on(town: Town) -> None:
    assert (await town.authorize(login_hint="carla")).status_code == 200
    await town.client.post(town.urls["acmidm"] + "/sim/auto", json={"on": True})
    answer = await town.authorize(login_hint="carla")
    assert "code=" in answer.headers["location"]


async def test_a_persona_that_does_not_exist_is_shown_as_text(town: Town) -> None:
    answer = await town.authorize("<script>x</script>")
    assert "&lt;script&gt;x" in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iat": 0, "exp": 3600}, "600 seconds"),
        ({"iat": -600, "exp": -300}, "expired"),
        ({"iat": 300, "exp": 360}, "future"),
        ({"aud": "http://127.0.0.1/other"}, "aud"),
        ({"iss": "other"}, "iss and sub"),
        ({"sub": "other"}, "no known client"),
        ({"jti": ""}, "jti"),
        ({"exp": "soon"}, "iat and exp"),
    ],
)
async def test_a_client_with_a_wrong_assertion_is_refused(
    town: Town, claims: dict[str, Any], said: str
) -> None:
    now = int(time.time())
    claims = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    data = {"grant_type": "client_credentials", "scope": "DosisImport"} | town.assertion(**claims)
    answer = await town.client.post(town.token_url, data=data)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert said in answer.json()["error_description"]


async def test_a_client_with_anothers_key_is_refused(town: Town) -> None:
    other = RSAKey.generate_key(2048)
    wanted = {"grant_type": "client_credentials", "scope": "DosisImport"}
    answer = await town.client.post(town.token_url, data=wanted | town.assertion(key=other))
    assert answer.status_code == 401
    bare = await town.client.post(town.token_url, data=wanted | town.assertion(header={"alg": "RS256"}))
    assert "kid" in bare.json()["error_description"]


async def test_an_assertion_is_seen_once(town: Town) -> None:
    data = {"grant_type": "client_credentials", "scope": "DosisImport"} | town.assertion()
    first = await town.client.post(town.token_url, data=data)
    second = await town.client.post(town.token_url, data=data)
    assert (first.status_code, second.status_code) == (200, 401)
    assert "used before" in second.json()["error_description"]


async def test_a_client_gets_only_the_scopes_of_its_file(town: Town) -> None:
    data = {"grant_type": "client_credentials", "scope": "DosisImport Alles"} | town.assertion()
    assert (await town.client.post(town.token_url, data=data)).json()["error"] == "invalid_scope"


async def test_after_logging_out_one_comes_back_only_to_the_application(town: Town) -> None:
    url = town.urls["acmidm"] + "/op/v1/logout"
    target = "http://127.0.0.1:8000/dag"
    back = await town.client.get(
        url, params={"client_id": "loket", "post_logout_redirect_uri": target, "state": "x"}
    )
    assert back.headers["location"] == target + "?state=x"
    elsewhere = {"client_id": "loket", "post_logout_redirect_uri": "http://evil.example/"}
    assert (await town.client.get(url, params=elsewhere)).status_code == 400


async def test_a_token_for_scripts_is_as_good_as_one_from_signing_in(town: Town) -> None:
    got = (await town.client.get(town.urls["acmidm"] + "/sim/token?persona=burger-42")).json()
    answer = await town.client.get(
        town.urls["acmidm"] + "/op/v1/userinfo", headers={"authorization": f"Bearer {got['access_token']}"}
    )
    assert answer.json()["rrn"] == insz_of("burger-42")
    assert (await town.client.get(town.urls["acmidm"] + "/sim/token?persona=nobody")).status_code == 404


# --- MAGDA --------------------------------------------------------------------------------------------------


def soap(name: str, version: str, namespace: str, content: str, *, sender: str = SENDER) -> etree._Element:
    text = f"""<s:Envelope xmlns:s="{SOAP}"><s:Header/><s:Body Id="Body">
    <p:{name} xmlns:p="{namespace}"><Verzoek>
     <Context><Naam>{name}</Naam><Versie>{version}.0000</Versie><Bericht><Type>VRAAG</Type>
       <Tijdstip><Datum>2026-01-31</Datum><Tijd>12:00:00.000</Tijd></Tijdstip>
       <Afzender><Identificatie>{sender}</Identificatie><Referte>ref-1</Referte><Hoedanigheid>1300</Hoedanigheid>
       </Afzender></Bericht></Context>
     <Vragen><Vraag><Referte>vraag-1</Referte><Inhoud>{content}</Inhoud></Vraag></Vragen>
    </Verzoek></p:{name}></s:Body></s:Envelope>"""
    return etree.fromstring(text.encode())


def signed(envelope: etree._Element, papers: Papers = OURS) -> etree._Element:
    signer = XMLSigner(
        method=SignatureConstructionMethod.detached,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signature = signer.sign(
        envelope, key=papers.key, cert=papers.certificate.decode(), reference_uri="#Body", id_attribute="Id"
    )
    header = envelope.find(f"{{{SOAP}}}Header")
    assert header is not None
    header.append(signature)
    return envelope


def criteria(insz: str, source: str = "RR", language: str = "nl") -> str:
    return f"<Criteria><INSZ>{insz}</INSZ></Criteria><Bron>{source}</Bron><Taal>{language}</Taal>"


def codes(answer: etree._Element) -> list[tuple[str | None, str | None]]:
    return [(one.findtext("Identificatie"), one.findtext("Type")) for one in answer.iter("Uitzondering")]


async def test_a_registered_person_is_told_and_an_unregistered_one_is_not(town: Town) -> None:
    number = insz_of("an")
    status, before = await town.person(number)
    assert (status, codes(before)) == (200, [("40003", "FOUT")])
    assert (await town.register(number)).findtext(".//Resultaat") == "1"
    status, answer = await town.person(number)
    assert status == 200
    assert codes(answer) == []
    assert answer.findtext(".//Ontvanger/Referte") == "ref-1"
    assert answer.findtext(".//Antwoord/Referte") == "vraag-1"
    who = answer.find(".//Persoon")
    assert who is not None
    assert who.findtext("Naam/Achternamen/Achternaam") == "Peeters"
    assert who.findtext("Adressen/Hoofdverblijfplaats/NISCodeGemeente") == "13999"
    assert who.findtext("Referentiepersoon/INSZ") == number
    assert who.findtext("BurgerlijkeStaten/BurgerlijkeStaat/Partner/INSZ") == insz_of("bert")


async def test_a_registration_is_the_senders_own(town: Town) -> None:
    number = insz_of("an")
    await town.register(number)
    asked = soap("GeefPersoon", "02.02", PERSON, criteria(number), sender="kb.vlaanderen.be/another")
    _, answer = await town.magda(signed(asked), "GeefPersoonDienst-02.02")
    assert codes(answer) == [("40003", "FOUT")]


async def test_nobody_registers_in_the_name_of_another(town: Town) -> None:
    answer = await town.register(insz_of("an"), sender="kb.vlaanderen.be/another")
    assert codes(answer) == [("40005", "FOUT")]
    assert answer.findtext(".//Resultaat") == "0"


async def test_registering_twice_warns_and_ending_it_closes_the_door(town: Town) -> None:
    number = insz_of("carla")
    await town.register(number)
    again = await town.register(number)
    assert codes(again) == [("40143", "WAARSCHUWING")]
    assert again.findtext(".//Resultaat") == "1"
    content = (
        f"<Uitschrijving><Identificatie>{SENDER}</Identificatie><Hoedanigheid>1300</Hoedanigheid>"
        f"<INSZ>{number}</INSZ></Uitschrijving>"
    )
    _, ended = await town.ask("RegistreerUitschrijving", "02.00", UNREGISTER, content)
    assert ended.findtext(".//Resultaat") == "1"
    _, answer = await town.person(number)
    assert codes(answer) == [("40003", "FOUT")]
    _, twice = await town.ask("RegistreerUitschrijving", "02.00", UNREGISTER, content)
    assert codes(twice) == [("40003", "FOUT")]


async def test_the_household_names_its_reference_person_first(town: Town) -> None:
    await town.register(insz_of("bert"))
    _, answer = await town.ask("GeefGezinssamenstelling", "02.02", FAMILY, criteria(insz_of("bert")))
    members = [(one.findtext("INSZ"), one.findtext("Positie/Code")) for one in answer.iter("Gezinslid")]
    assert members == [(insz_of("an"), "01"), (insz_of("bert"), "02")]


@pytest.mark.parametrize(("key", "code"), [("fatima", "30004"), ("noor", "30001")])
async def test_some_people_cannot_be_told(town: Town, key: str, code: str) -> None:
    await town.register(insz_of(key))
    status, answer = await town.person(insz_of(key))
    assert (status, codes(answer)) == (200, [(code, "FOUT")])
    assert answer.find(".//Persoon") is None


async def test_a_replaced_number_leads_to_the_new_one(town: Town) -> None:
    warned = await town.register(insz_of("fatima"))
    assert codes(warned) == [("30004", "WAARSCHUWING")]
    _, refused = await town.person(insz_of("fatima"))
    new = refused.findtext(".//Annotatie/Waarde")
    assert new is not None
    await town.register(new)
    _, answer = await town.person(new)
    assert answer.findtext(".//Voornaam") == "Fatima"
    assert answer.findtext(".//Persoon/INSZ") == new


async def test_a_dead_person_is_told_with_the_day_of_death(town: Town) -> None:
    await town.register(insz_of("gust"))
    _, answer = await town.person(insz_of("gust"))
    assert answer.findtext(".//Overlijden/Datum") == "2026-01-09"


async def test_numbers_that_cannot_be_or_never_were_are_refused(town: Town) -> None:
    wrong = insz_of("an")[:-1] + ("1" if insz_of("an")[-1] != "1" else "2")
    _, answer = await town.person(wrong)
    assert codes(answer) == [("20002", "FOUT")]
    nobody = f"506101999{97 - int('506101999') % 97:02}"
    assert codes(await town.register(nobody)) == [("30003", "FOUT")]


async def test_magda_is_too_busy_for_els_until_it_is_switched_off(town: Town) -> None:
    await town.register(insz_of("els"))
    status, busy = await town.person(insz_of("els"))
    assert (status, codes(busy)) == (200, [("99996", "FOUT")])
    assert busy.find(".//Repliek/Uitzonderingen") is not None
    assert busy.find(".//Antwoord") is None
    await town.client.post(town.urls["magda"] + "/sim/forced", json={"persona": "els", "code": None})
    _, answer = await town.person(insz_of("els"))
    assert answer.findtext(".//Voornaam") == "Els"


async def test_magda_can_be_told_what_to_answer_about_someone(town: Town) -> None:
    await town.register(insz_of("an"))
    url = town.urls["magda"] + "/sim/forced"
    await town.client.post(url, json={"persona": "an", "code": "60006"})
    _, answer = await town.person(insz_of("an"))
    assert codes(answer) == [("60006", "FOUT")]
    assert answer.find(".//Antwoord/Uitzonderingen") is not None
    assert (await town.client.post(url, json={"persona": "an", "code": "1"})).status_code == 400


async def test_only_what_our_certificate_signed_is_read(town: Town) -> None:
    await town.register(insz_of("an"))
    plain = soap("GeefPersoon", "02.02", PERSON, criteria(insz_of("an")))
    strange = signed(copy.deepcopy(plain), THEIRS)
    changed = signed(copy.deepcopy(plain))
    number = changed.find(".//Criteria/INSZ")
    assert number is not None
    number.text = insz_of("bert")
    for envelope in (plain, strange, changed):
        status, answer = await town.magda(envelope, "GeefPersoonDienst-02.02")
        assert status == 500
        assert "erification failure" in (answer.findtext(".//faultstring") or "")
        assert answer.find(".//Persoon") is None


async def test_a_signed_body_hidden_beside_another_does_not_help(town: Town) -> None:
    await town.register(insz_of("an"))
    await town.register(insz_of("carla"))
    wrapped = signed(soap("GeefPersoon", "02.02", PERSON, criteria(insz_of("an"))))
    body, header = wrapped.find(f"{{{SOAP}}}Body"), wrapped.find(f"{{{SOAP}}}Header")
    assert body is not None
    assert header is not None
    forged = copy.deepcopy(body)
    forged.set("Id", "Other")
    number = forged.find(".//Criteria/INSZ")
    assert number is not None
    number.text = insz_of("carla")
    header.append(body)
    wrapped.append(forged)
    status, answer = await town.magda(wrapped, "GeefPersoonDienst-02.02")
    assert status == 500
    assert "does not cover the Body" in (answer.findtext(".//faultstring") or "")


async def test_a_question_at_another_services_address_is_a_fault(town: Town) -> None:
    asked = signed(soap("GeefPersoon", "02.02", PERSON, criteria(insz_of("an"))))
    status, answer = await town.magda(asked, "GeefGezinssamenstellingDienst-02.02")
    assert status == 500
    assert answer.find(f".//{{{SOAP}}}Fault") is not None
    status, _ = await town.magda(signed(soap("GeefAlles", "01.00", PERSON, "")), "GeefAllesDienst-01.00")
    assert status == 500


async def test_magda_logs_who_was_asked_about_and_what_came_of_it(town: Town) -> None:
    await town.person(insz_of("an"))
    log = (await town.client.get(town.urls["magda"] + "/sim/log")).json()
    assert [(one["service"], one["insz"], one["codes"]) for one in log] == [
        ("GeefPersoon", [insz_of("an")], ["40003"])
    ]


# --- DOSIS --------------------------------------------------------------------------------------------------


def dossier(number: str = "CB-1", changed: str = "2026-03-01T10:15:00", **more: Json) -> dict[str, Any]:
    return {
        "Identificatie": {"Bron": "urn://lindebeke/loket", "DossierNummer": number},
        "UploadId": str(uuid.uuid4()),
        "Naam": "Aankoop compostvat",
        "WijzigingsDatum": changed,
        "Status": {"VlaamsCode": "Ingediend", "VlaamsFase": "Samenstelling"},
        "TypeDossierCode": "DossierStatus",
        "Producten": [{"Id": "1446"}],
        "Agenten": [{"Identificatie": insz_of("an"), "Toegangsrechten": [{"Code": "Raadpleger"}]}],
    } | more


async def test_a_status_is_accepted_at_once_and_processed_a_moment_later(town: Town) -> None:
    headers = await town.bearer()
    one = dossier()
    answer = await town.report(one, headers)
    assert (answer.status_code, answer.json()) == (200, {"Status": "OK", "UploadId": one["UploadId"]})
    url = town.urls["dosis"] + "/api/v1/dosis/resultaten/perUploadId"
    asked = {"uploadId": one["UploadId"]}
    early = await town.client.get(url, params=asked, headers=headers)
    await asyncio.sleep(0.15)
    late = await town.client.get(url, params=asked, headers=headers)
    assert (early.status_code, late.status_code) == (404, 200)
    assert late.json()["Succes"] is True
    per_dossier = await town.client.get(
        town.urls["dosis"] + "/api/v1/dosis/resultaten",
        params={"bron": "urn://lindebeke/loket", "dossierNummer": "CB-1"},
        headers=headers,
    )
    assert [result["UploadId"] for result in per_dossier.json()] == [one["UploadId"]]
    shown = await town.profile("dosis", insz_of("an"))
    assert [(row["DossierNummer"], row["Status"]["VlaamsCode"]) for row in shown] == [("CB-1", "Ingediend")]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"Naam": ""}, "Naam"),
        ({"UploadId": None}, "UploadId"),
        ({"WijzigingsDatum": "gisteren"}, "WijzigingsDatum"),
        ({"Status": {"VlaamsCode": "Klaar", "VlaamsFase": "Behandeling"}}, "Status.VlaamsCode"),
        ({"Status": {"VlaamsCode": "Betaald", "VlaamsFase": "Klaar"}}, "Status.VlaamsFase"),
        (
            {"Status": {"VlaamsCode": "Betaald", "VlaamsFase": "Uitvoering", "Actie": {"ActieNodig": True}}},
            "Status.Actie.Actie",
        ),
        ({"Producten": []}, "Producten"),
        ({"Producten": [{"Id": "1"}, {"Id": "2"}]}, "Producten"),
        ({"Producten": [{"Id": "compost"}]}, "Producten[0].Id"),
        (
            {"Agenten": [{"Identificatie": "84631251273", "Toegangsrechten": [{"Code": "Raadpleger"}]}]},
            "Agenten[0].Identificatie",
        ),
        (
            {"Agenten": [{"Identificatie": "84631251272", "Toegangsrechten": [{"Code": "Baas"}]}]},
            "Agenten[0].Toegangsrechten",
        ),
    ],
)
async def test_a_wrong_status_is_refused_and_the_field_is_named(
    town: Town, changed: dict[str, Any], field: str
) -> None:
    answer = await town.report(dossier(**changed))
    assert answer.status_code == 400
    assert answer.json()["code"] == "2001"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert await town.profile("dosis", insz_of("an")) == []


async def test_what_is_no_object_is_refused(town: Town) -> None:
    url, headers = town.urls["dosis"] + "/api/v2/dosis/dossiers", await town.bearer()
    for body in (b"{", b"[]", b"null", b'{"Identificatie": "x", "Agenten": {"a": 1}, "Producten": "y"}'):
        assert (await town.client.post(url, content=body, headers=headers)).status_code == 400


async def test_the_same_upload_twice_is_one_status(town: Town) -> None:
    one, headers = dossier(), await town.bearer()
    first, second = await town.report(one, headers), await town.report(one, headers)
    assert first.json() == second.json()
    shown = await town.profile("dosis", insz_of("an"))
    assert [(row["UploadId"], row["Repeats"]) for row in shown] == [(one["UploadId"], 1)]


async def test_a_status_that_comes_too_late_is_marked(town: Town) -> None:
    headers = await town.bearer()
    for number, changed in (
        ("CB-1", "2026-03-02T10:00:00"),
        ("CB-1", "2026-03-01T10:00:00"),
        ("CB-2", "2026-01-01T10:00:00"),
    ):
        await town.report(dossier(number, changed), headers)
    shown = await town.profile("dosis", insz_of("an"))
    assert [row["OutOfOrder"] for row in shown] == [False, True, False]


async def test_dosis_knows_its_callers(town: Town) -> None:
    strange = dossier(Identificatie={"Bron": "urn://elders", "DossierNummer": "1"})
    assert (await town.report(strange)).status_code == 403
    assert (await town.report(dossier(), {"authorization": "Bearer nonsense"})).status_code == 401
    assert (await town.report(dossier(), await town.bearer("Notificaties"))).status_code == 403
    headers = await town.bearer()
    await town.client.post(town.urls["acmidm"] + "/sim/revoke")
    assert (await town.report(dossier(), headers)).status_code == 401


async def test_a_dossier_can_be_taken_back(town: Town) -> None:
    headers = await town.bearer()
    await town.report(dossier(), headers)
    url = town.urls["dosis"] + "/api/v1/dosis/dossiers"
    asked = {"bron": "urn://lindebeke/loket", "dossierNummer": "CB-1"}
    assert (await town.client.delete(url, params=asked, headers=headers)).status_code == 200
    assert await town.profile("dosis", insz_of("an")) == []
    assert (await town.client.delete(url, params=asked, headers=headers)).status_code == 404


# --- Notificaties -------------------------------------------------------------------------------------------


def bundle(values: dict[str, str] | None = None, **more: Json) -> dict[str, Any]:
    values = {"DossierNummer": "CB-1", "StatusVlaamseCode": "Betaald", "StatusVlaamseFase": "Uitvoering"} | (
        values or {}
    )
    return {
        "Id": str(uuid.uuid4()),
        "AanbiederUri": "https://data.vlaanderen.be/id/organisatie/OVO999999",
        "Bestemmelingen": [{"Identificatie": insz_of("an"), "Type": "Burger"}],
        "Categorie": "DossierGerelateerdBerichtWijzigingDossier",
        "Kanalen": [{"Kanaal": "Web"}],
        "ProductId": "1446",
        "MerkCode": "lindebeke",
        "SleutelWaardeParen": [{"Sleutel": key, "Waarde": value} for key, value in values.items() if value],
    } | more


async def test_a_message_reaches_the_citizen_once_however_often_it_is_sent(town: Town) -> None:
    url, headers = town.urls["notificaties"] + "/api/v2/notificaties", await town.bearer()
    one = bundle({"Status": "Bedankt voor uw betaling"})
    for _ in range(2):
        assert (await town.client.post(url, json=one, headers=headers)).status_code == 202
    shown = await town.profile("notificaties", insz_of("an"))
    assert [(row["Id"], row["Waarden"]["Status"], row["Repeats"]) for row in shown] == [
        (one["Id"], "Bedankt voor uw betaling", 1)
    ]
    assert await town.profile("notificaties", insz_of("bert")) == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (bundle({"StatusVlaamseFase": ""}), "SleutelWaardeParen"),
        (bundle({"Status": "x" * (80 * 1024 + 1)}), "SleutelWaardeParen[3].Waarde"),
        (bundle(Vervaldatum="2020-01-01T00:00:00Z"), "Vervaldatum"),
        (bundle(Kanalen=[{"Kanaal": "Duif"}]), "Kanalen[0].Kanaal"),
        (bundle(Kanalen=[]), "Kanalen"),
        (bundle(Bestemmelingen=[{"Identificatie": "1"}]), "Bestemmelingen[0].Identificatie"),
        (bundle(Categorie="Reclame"), "Categorie"),
        (bundle(MerkCode=""), "MerkCode"),
    ],
)
async def test_a_wrong_message_is_refused(town: Town, wrong: dict[str, Any], field: str) -> None:
    url = town.urls["notificaties"] + "/api/v2/notificaties"
    answer = await town.client.post(url, json=wrong, headers=await town.bearer())
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_a_message_needs_the_right_scope(town: Town) -> None:
    url = town.urls["notificaties"] + "/api/v2/notificaties"
    assert (
        await town.client.post(url, json=bundle(), headers=await town.bearer("DosisImport"))
    ).status_code == 403
    assert (await town.client.post(url, json=bundle())).status_code == 401


# --- breaking things ----------------------------------------------------------------------------------------


async def failing(town: Town, **fault: Json) -> httpx2.Response:
    """A status reported while DOSIS has this fault, once."""
    headers = await town.bearer()
    await town.client.post(town.urls["dosis"] + "/sim/faults", json={"count": 1} | fault)
    return await town.report(dossier(), headers)


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"mode": "error"}, 503), ({"mode": "refuse"}, 403), ({"mode": "error", "status": 429}, 429)],
)
async def test_a_system_told_to_fail_does_not_act(town: Town, fault: dict[str, Any], status: int) -> None:
    assert (await failing(town, **fault)).status_code == status
    assert await town.profile("dosis", insz_of("an")) == []
    assert (await town.report(dossier())).status_code == 200


async def test_a_silent_system_hangs_up_without_acting(town: Town) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await failing(town, mode="timeout", seconds=0.05)
    assert await town.profile("dosis", insz_of("an")) == []


async def test_a_lost_answer_was_nevertheless_acted_upon(town: Town) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await failing(town, mode="lose_answer")
    assert len(await town.profile("dosis", insz_of("an"))) == 1


async def test_a_slow_system_answers_in_the_end(town: Town) -> None:
    began = time.monotonic()
    assert (await failing(town, mode="slow", seconds=0.2)).status_code == 200
    assert time.monotonic() - began >= 0.2


async def test_a_doubled_request_is_acted_upon_twice(town: Town) -> None:
    assert (await failing(town, mode="duplicate")).status_code == 200
    assert [row["Repeats"] for row in await town.profile("dosis", insz_of("an"))] == [1]


async def test_a_malformed_answer_is_half_of_one(town: Town) -> None:
    answer = await failing(town, mode="malformed")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_a_fault_keeps_to_its_path_and_is_cleared(town: Town) -> None:
    url = town.urls["acmidm"]
    await town.client.post(url + "/sim/faults", json={"mode": "error", "path": "/op/v1/token"})
    assert (await town.client.get(url + "/op/v1/keys")).status_code == 200
    assert (await town.client.post(town.token_url, data={})).status_code == 503
    await town.client.delete(url + "/sim/faults")
    assert (await town.client.post(town.token_url, data={})).status_code == 401


@pytest.mark.parametrize(
    "wrong", [{"mode": "explode"}, {"mode": "slow", "often": 1}, {"mode": "error", "status": 200}, [], {}]
)
async def test_a_fault_that_does_not_exist_is_refused(town: Town, wrong: Json) -> None:
    answer = await town.client.post(town.urls["dosis"] + "/sim/faults", json=wrong)
    assert answer.status_code == 400


async def test_a_system_writes_down_what_it_received(town: Town) -> None:
    await failing(town, mode="error")
    received = (await town.client.get(town.urls["dosis"] + "/sim/received?path=/api")).json()
    assert [(one["method"], one["path"], one["status"], one["fault"]) for one in received] == [
        ("POST", "/api/v2/dosis/dossiers", 503, "error")
    ]
    assert json.loads(received[0]["body"])["Naam"] == "Aankoop compostvat"


# --- the house and its desk ---------------------------------------------------------------------------------


async def test_what_the_systems_know_outlives_a_restart(client: httpx2.AsyncClient, tmp_path: Path) -> None:
    kept = configuration(state=str(tmp_path / "state"))
    async with sandbox(kept, FLEMISH) as house:
        town = Town(house, client)
        await town.report(dossier())
        await town.client.post(town.urls["magda"] + "/sim/forced", json={"persona": "els", "code": None})
        keys = (await client.get(town.urls["acmidm"] + "/op/v1/keys")).json()
    async with sandbox(kept, FLEMISH) as house:
        town = Town(house, client)
        assert len(await town.profile("dosis", insz_of("an"))) == 1
        assert "els" not in (await client.get(town.urls["magda"] + "/sim/forced")).json()
        assert (await client.get(town.urls["acmidm"] + "/op/v1/keys")).json() == keys


async def test_the_command_serves_until_it_is_asked_to_stop(
    client: httpx2.AsyncClient, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    port = unused_tcp_port_factory()
    file = tmp_path / "sandbox.json"
    file.write_text(json.dumps(configuration(port=port)))
    command = [sys.executable, "-m", "loket.sandbox", "--config", str(file)]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    try:
        await _answers(client, f"http://127.0.0.1:{port}/")
        await _answers(client, f"http://127.0.0.1:{port + 1}/op/.well-known/openid-configuration")
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 10)
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, said.decode()) == (0, "")


async def _answers(client: httpx2.AsyncClient, url: str) -> None:
    for _ in range(200):
        try:
            assert (await client.get(url)).status_code == 200
        except httpx2.ConnectError:
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail(f"{url} never answered")


async def test_the_desk_shows_what_a_citizen_got_as_text(town: Town) -> None:
    status = {
        "VlaamsCode": "KlaarVoorBetaling",
        "VlaamsFase": "Uitvoering",
        "Detail1": "<script>alert(1)</script>",
    }
    await town.report(dossier(Status=status, Doorverwijzing="javascript:alert(2)"))
    page = await town.client.get(town.urls["desk"] + "/burger/an")
    assert "KlaarVoorBetaling" in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script" not in page.text
    assert "javascript:" not in page.text


async def test_the_desk_offers_everyone_a_way_in(town: Town) -> None:
    page = (await town.client.get(town.urls["desk"])).text
    for one in everyone():
        assert one.name in page
        assert f"login_hint={one.key}" in page
    token = page.split("Bearer ", 1)[1].split("<", 1)[0]
    answer = await town.client.get(
        town.urls["acmidm"] + "/op/v1/userinfo", headers={"authorization": f"Bearer {token}"}
    )
    assert answer.json()["given_name"] == "An"


async def test_every_system_is_broken_and_mended_from_its_page(client: httpx2.AsyncClient) -> None:
    form = {"mode": "error", "count": "2", "seconds": "", "percent": "", "path": ""}
    async with sandbox(configuration()) as house:
        desk = house.config.urls["desk"]
        assert len(house.config.urls) > len(FLEMISH) + 1
        for name in house.config.urls.keys() - {"desk"}:
            page = f"{desk}/systeem/{name}"
            assert (await client.post(page + "/storing", data=form)).status_code == 303
            assert "is stuk (503), nog 2 keer" in (await client.get(page)).text
            assert (await client.get(page + "/sim/faults")).json()[0]["count"] == 2
            await client.post(page + "/storing", data={"clear": "1"})
            assert "alles werkt" in (await client.get(page)).text
        assert (await client.get(desk)).status_code == 200
        assert (await client.get(desk + "/burger/an")).status_code == 200


@pytest.mark.parametrize("path", ["/burger/niemand", "/systeem/niets", "/burger/hilde"])
async def test_the_desk_says_when_there_is_nothing(town: Town, path: str) -> None:
    assert (await town.client.get(town.urls["desk"] + path)).status_code == 404


async def test_a_fault_form_filled_in_wrongly_is_refused(town: Town) -> None:
    page = f"{town.urls['desk']}/systeem/dosis/storing"
    assert (await town.client.post(page, data={"mode": "error", "count": "veel"})).status_code == 400
    assert (await town.client.post(page, data={"mode": "weg"})).status_code == 400
