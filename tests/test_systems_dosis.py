"""Statuses in DOSIS and messages in Mijn Burgerprofiel: what the citizen then sees there."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from flemish import Credentials
from loket import settings
from loket.channels.mbp import Mbp
from loket.errors import Declined, Failed, Unavailable
from loket.sandbox import acmidm as sandbox_acmidm
from loket.sandbox import dosis as sandbox_dosis
from loket.sandbox import notificaties as sandbox_notificaties
from loket.sandbox.house import House, sandbox
from loket.systems.acmidm_client import MachineTokens
from loket.systems.dosis import CaseManager, CaseReport, Dosis
from raw_server import HANG_UP, Answer, raw_server

AN = "84631251272"
READY = CaseReport(
    number="CB-2026-000123",
    name="Aankoop compostvat",
    changed_at=datetime(2026, 3, 1, 9, 15, 30, 999_000, tzinfo=UTC),
    code="KlaarVoorBetaling",
    phase="Uitvoering",
    url="https://www.lindebeke.example/dossiers/CB-2026-000123",
    product_id="1446",
    manager=CaseManager(service="Milieudienst", email="milieu@lindebeke.example"),
    agents=(AN,),
    details=("Uw factuur staat klaar",),
    action="Betaal de factuur",
)


@dataclass
class Flanders:
    """Both receivers and ACM, as Loket is connected to them."""

    house: House
    dosis: Dosis
    mbp: Mbp

    async def seen(self, system: str, insz: str = AN) -> list[dict[str, Any]]:
        """What Mijn Burgerprofiel shows this citizen."""
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.house.config.url(system)}/sim/mbp/{insz}")
        shown: list[dict[str, Any]] = answer.json()
        return shown

    async def revoke_tokens(self) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            await client.post(self.house.config.url("acmidm") + "/sim/revoke")

    def tokens_asked(self) -> int:
        return len(self.house.states["acmidm"].received("/op/v1/token"))


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials.made_in(tmp_path_factory.mktemp("loket"))


@pytest.fixture
async def flanders(credentials: Credentials) -> AsyncIterator[Flanders]:
    systems = (sandbox_acmidm.SYSTEM, sandbox_dosis.SYSTEM, sandbox_notificaties.SYSTEM)
    async with sandbox(credentials.sandbox(), systems) as house:
        section = credentials.acmidm(house.config.url("acmidm"))
        token_url = f"{section.issuer}/v1/token"
        statuses = MachineTokens(section, token_url=token_url, scope="DosisImport")
        messages = MachineTokens(section, token_url=token_url, scope="Notificaties")
        dosis = Dosis(settings.Dosis(url=house.config.url("dosis")), auth=statuses)
        notificaties = settings.Notificaties(url=house.config.url("notificaties"))
        mbp = Mbp(notificaties, auth=messages, source_uri="urn://lindebeke/loket")
        yield Flanders(house, dosis, mbp)
        for one in (dosis, mbp, statuses, messages):
            await one.aclose()


# ── Statuses ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_status_is_what_the_citizen_sees(flanders: Flanders) -> None:
    upload = uuid7()

    receipt = await flanders.dosis.push(upload_id=upload, status=READY)

    assert (receipt.upload_id, receipt.status) == (upload, "OK")
    (seen,) = await flanders.seen("dosis")
    assert (seen["DossierNummer"], seen["Naam"]) == ("CB-2026-000123", "Aankoop compostvat")
    assert seen["Status"] == {
        "VlaamsCode": "KlaarVoorBetaling",
        "VlaamsFase": "Uitvoering",
        "Detail1": "Uw factuur staat klaar",
        "Actie": {"ActieNodig": True, "Actie": "Betaal de factuur"},
    }
    assert seen["WijzigingsDatum"] == "2026-03-01T10:15:30"


async def test_a_status_without_action_asks_for_none(flanders: Flanders) -> None:
    await flanders.dosis.push(upload_id=uuid7(), status=replace(READY, action=None, details=()))

    (seen,) = await flanders.seen("dosis")
    assert set(seen["Status"]) == {"VlaamsCode", "VlaamsFase"}


async def test_a_status_sent_twice_is_shown_once(flanders: Flanders) -> None:
    upload = uuid7()
    await flanders.dosis.push(upload_id=upload, status=READY)
    await flanders.dosis.push(upload_id=upload, status=READY)

    (seen,) = await flanders.seen("dosis")
    assert seen["Repeats"] == 1


async def test_the_result_comes_once_dosis_has_processed_it(flanders: Flanders) -> None:
    upload = uuid7()
    await flanders.dosis.push(upload_id=upload, status=READY)

    assert await flanders.dosis.result(upload) is None
    await asyncio.sleep(0.15)
    result = await flanders.dosis.result(upload)
    assert result is not None
    assert (result.succeeded, result.faults) == (True, ())


async def test_a_status_that_does_not_hold_is_declined_with_its_faults(flanders: Flanders) -> None:
    wrong = replace(READY, code="Onbestaand", agents=("84631251273",))

    with pytest.raises(Declined) as caught:
        await flanders.dosis.push(upload_id=uuid7(), status=wrong)

    assert caught.value.http_status == 400
    assert "Onbestaand" in caught.value.reason
    assert "Agenten[0].Identificatie" in caught.value.reason


async def test_a_source_that_is_not_ours_is_declined(flanders: Flanders) -> None:
    section = settings.Dosis(url=flanders.house.config.url("dosis"), source_uri="urn://elders/loket")
    elsewhere = Dosis(section, auth=flanders.dosis._client.auth or httpx2.Auth())
    with pytest.raises(Declined) as caught:
        await elsewhere.push(upload_id=uuid7(), status=READY)
    assert caught.value.http_status == 403
    await elsewhere.aclose()


async def test_a_stale_token_is_replaced_once(flanders: Flanders) -> None:
    await flanders.dosis.push(upload_id=uuid7(), status=READY)
    await flanders.revoke_tokens()

    await flanders.dosis.push(upload_id=uuid7(), status=replace(READY, code="Betaald", action=None))

    assert [seen["Status"]["VlaamsCode"] for seen in await flanders.seen("dosis")] == [
        "KlaarVoorBetaling",
        "Betaald",
    ]
    assert flanders.tokens_asked() == 2


async def test_a_token_that_is_never_accepted_is_asked_anew_once_only(credentials: Credentials) -> None:
    token = Answer(document={"access_token": "t", "expires_in": 3600})
    async with raw_server(token) as acm, raw_server(Answer(401)) as receiver:
        tokens = MachineTokens(credentials.acmidm(acm.url), token_url=f"{acm.url}/op/v1/token", scope="x")
        dosis = Dosis(settings.Dosis(url=receiver.url), auth=tokens)
        with pytest.raises(Declined) as caught:
            await dosis.push(upload_id=uuid7(), status=READY)
        assert caught.value.http_status == 401
        assert (len(acm.asked), len(receiver.asked)) == (2, 2)
        assert receiver.asked[0].body == receiver.asked[1].body != b""
        await dosis.aclose()
        await tokens.aclose()


class NoAuth(httpx2.Auth):
    """For receivers that a test makes up."""


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HANG_UP, Unavailable),
        (Answer(500), Unavailable),
        (Answer(429, headers={"Retry-After": "3"}), Unavailable),
        (Answer(403), Declined),
        (Answer(400, document={"code": "2001", "errors": []}), Declined),
    ],
)
async def test_each_failure_has_its_kind(answer: Answer, kind: type[Failed]) -> None:
    async with raw_server(answer) as raw:
        dosis = Dosis(settings.Dosis(url=raw.url), auth=NoAuth())
        mbp = Mbp(settings.Notificaties(url=raw.url), auth=NoAuth(), source_uri="urn://x")
        for call in (dosis.push(upload_id=uuid7(), status=READY), dosis.result(uuid7()), announce(mbp)):
            with pytest.raises(kind):
                await call
        await dosis.aclose()
        await mbp.aclose()


@pytest.mark.parametrize("shape", ["object", "list"])
async def test_a_status_that_dosis_could_not_process_says_why(shape: str) -> None:
    upload = uuid7()
    result = {
        "UploadId": str(upload),
        "Succes": False,
        "Fout": None,
        "Fouten": [{"Omschrijving": "Onbekend product"}],
    }
    async with raw_server(Answer(document=result if shape == "object" else [result])) as raw:
        dosis = Dosis(settings.Dosis(url=raw.url), auth=NoAuth())
        found = await dosis.result(upload)
        assert found is not None
        assert (found.succeeded, found.faults) == (False, ("Onbekend product",))
        with pytest.raises(Unavailable, match="no result of this status"):
            await dosis.result(uuid7())
        await dosis.aclose()


def test_a_report_holds_no_more_than_dosis_shows() -> None:
    with pytest.raises(ValueError, match="2 details"):
        replace(READY, details=("een", "twee", "drie"))
    with pytest.raises(ValueError, match="applicant"):
        replace(READY, agents=())
    assert AN not in repr(READY)


# ── Messages ──────────────────────────────────────────────────────────────────────────────────────────


async def announce(mbp: Mbp, **changes: Any) -> None:  # noqa: ANN401  # any field of a message
    message: dict[str, Any] = {
        "id": uuid7(),
        "insz": AN,
        "case_number": "CB-2026-000123",
        "case_name": "Aankoop compostvat",
        "code": "KlaarVoorBetaling",
        "phase": "Uitvoering",
        "status": "Uw factuur staat klaar",
        "detail": "Gelieve te betalen voor 31 maart.",
        "link": "https://www.lindebeke.example/dossiers/CB-2026-000123",
        "link_name": "Bekijk uw aanvraag",
        "product_id": "1446",
    }
    await mbp.notify(**{**message, **changes})


async def test_a_message_stands_in_mijn_burgerprofiel(flanders: Flanders) -> None:
    await announce(flanders.mbp, expires_at=datetime.now(UTC) + timedelta(days=30))

    (seen,) = await flanders.seen("notificaties")
    assert seen["Waarden"] == {
        "DossierNummer": "CB-2026-000123",
        "DossierNaam": "Aankoop compostvat",
        "StatusVlaamseCode": "KlaarVoorBetaling",
        "StatusVlaamseFase": "Uitvoering",
        "Status": "Uw factuur staat klaar",
        "StatusDetail1": "Gelieve te betalen voor 31 maart.",
        "DocumentLinkUri": "https://www.lindebeke.example/dossiers/CB-2026-000123",
        "ExterneLinkNaam": "Bekijk uw aanvraag",
    }
    assert seen["TransactieId"] == "urn://lindebeke/loketCB-2026-000123"
    assert seen["Kanalen"] == [{"Kanaal": "Web"}]


async def test_a_message_sent_twice_is_shown_once(flanders: Flanders) -> None:
    key = uuid7()
    await announce(flanders.mbp, id=key)
    await announce(flanders.mbp, id=key, detail=None)

    (seen,) = await flanders.seen("notificaties")
    assert (seen["Id"], seen["Repeats"]) == (str(key), 1)


async def test_a_message_that_is_too_late_is_declined(flanders: Flanders) -> None:
    with pytest.raises(Declined, match="Vervaldatum"):
        await announce(flanders.mbp, expires_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_statuses_and_messages_each_have_their_own_token(flanders: Flanders) -> None:
    await flanders.dosis.push(upload_id=uuid7(), status=READY)
    await announce(flanders.mbp)
    await announce(flanders.mbp)

    assert flanders.tokens_asked() == 2
