"""DOSIS, the Flemish register of case statuses: what Mijn Burgerprofiel shows of a case comes from here.

Body and answers as in the public DOSIS pages (IKPubliek/2680357975) and the open connector of Qmino. Statuses
are pushed; a later push of the same case replaces an earlier one, so they must arrive in order.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx2
import orjson

from loket import settings
from loket.errors import Unavailable
from loket.systems import calls
from loket.trust import authorities

PUSH = "/api/v2/dosis/dossiers"
RESULT = "/api/v1/dosis/resultaten/perUploadId"
TIMEOUT_SECONDS = 20.0
DETAILS = 2
"""How many lines of detail DOSIS shows under a status."""
BRUSSELS = ZoneInfo("Europe/Brussels")


@dataclass(frozen=True)
class CaseManager:
    """Whom a citizen can ask about the case."""

    name: str | None = None
    service: str | None = None
    phone: str | None = None
    email: str | None = None
    website: str | None = None


@dataclass(frozen=True)
class CaseReport:
    """The state of one case as citizens see it.

    `code` and `phase` are DOSIS's own words (Ontvankelijk, Behandeling). `action`: what the citizen must do
    now. `agents`: national numbers of those who may see it. `product_id`: of the service in IPDC.
    """

    number: str
    name: str
    changed_at: datetime
    code: str
    phase: str
    url: str
    product_id: str
    manager: CaseManager
    agents: tuple[str, ...] = field(repr=False)
    details: tuple[str, ...] = ()
    action: str | None = None

    def __post_init__(self) -> None:
        if len(self.details) > DETAILS:
            raise ValueError(f"DOSIS takes {DETAILS} details, not {len(self.details)}")
        if not self.agents:
            raise ValueError("a case without a known applicant is not for DOSIS")


@dataclass(frozen=True)
class Receipt:
    """DOSIS will process the status; whether that succeeded is asked with `Dosis.result`."""

    upload_id: UUID
    status: str


@dataclass(frozen=True)
class Result:
    """What became of a status that DOSIS took in; `faults` in its own words."""

    succeeded: bool
    faults: tuple[str, ...]


class Dosis:
    """Pushes statuses.

    Recognises a repeat: `key`. The same UploadId is taken for the same status (assumed: no public page says
    so); sent again it does no harm either way, as it says the same.
    """

    def __init__(self, section: settings.Dosis, *, auth: httpx2.Auth) -> None:
        """`auth` shows the token of scope `section.scope`, and a new one once after a 401."""
        self._source = section.source_uri
        self._client = httpx2.AsyncClient(
            base_url=section.url, auth=auth, timeout=TIMEOUT_SECONDS, trust_env=False, verify=authorities()
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def push(self, *, upload_id: UUID, status: CaseReport) -> Receipt:
        """Report the state of a case.

        Raises:
            Unavailable: no answer, or a 5xx or 429.
            Declined: the status does not hold (400), or our token is not linked to the source (401, 403).
        """
        content = orjson.dumps(_dossier(self._source, upload_id, status))
        headers = {"Content-Type": "application/json"}
        request = self._client.build_request("POST", PUSH, content=content, headers=headers)
        answer = calls.json_object(await calls.call("dosis", self._client, request))
        return Receipt(upload_id, str(answer.get("Status", "")))

    async def result(self, upload_id: UUID) -> Result | None:
        """What became of a status; None as long as DOSIS has not processed it.

        Raises:
            Unavailable: no answer, a 5xx or 429, or an answer that is not a result.
            Declined: our token is not linked to the source (401, 403).
        """
        request = self._client.build_request("GET", RESULT, params={"uploadId": str(upload_id)})
        answer = await calls.ask("dosis", self._client, request)
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise calls.failure("dosis", answer)
        return _result(answer, upload_id)


def _result(answer: httpx2.Response, upload_id: UUID) -> Result:
    """DOSIS answers one result or a list; both shapes are about."""
    try:
        document = orjson.loads(answer.content)
    except orjson.JSONDecodeError as wrong:
        raise Unavailable("dosis", "the answer is not JSON") from wrong
    found = [
        one
        for one in (document if isinstance(document, list) else [document])
        if isinstance(one, dict)
        and one.get("UploadId") == str(upload_id)
        and isinstance(one.get("Succes"), bool)
    ]
    if not found:
        raise Unavailable("dosis", "the answer holds no result of this status")
    faults = [found[-1].get("Fout"), *(fault.get("Omschrijving") for fault in found[-1].get("Fouten") or ())]
    return Result(found[-1]["Succes"], tuple(str(fault) for fault in faults if fault))


def _dossier(source: str, upload_id: UUID, report: CaseReport) -> dict[str, Any]:
    status: dict[str, Any] = {"VlaamsCode": report.code, "VlaamsFase": report.phase}
    status |= {f"Detail{number}": detail for number, detail in enumerate(report.details, start=1)}
    if report.action is not None:
        status["Actie"] = {"ActieNodig": True, "Actie": report.action}
    manager = {
        "Naam": report.manager.name,
        "Dienst": report.manager.service,
        "Telefoon": report.manager.phone,
        "Email": report.manager.email,
        "Website": report.manager.website,
    }
    # DOSIS writes instants as Belgian wall-clock time, without offset.
    changed = report.changed_at.astimezone(BRUSSELS).replace(tzinfo=None)
    return {
        "Identificatie": {"Bron": source, "DossierNummer": report.number},
        "UploadId": str(upload_id),
        "Naam": report.name,
        "WijzigingsDatum": changed.isoformat(timespec="seconds"),
        "Status": status,
        "Doorverwijzing": report.url,
        "TypeDossierCode": "DossierStatus",
        "Producten": [{"Id": report.product_id}],
        "DossierBeheerder": {name: value for name, value in manager.items() if value is not None},
        "Agenten": [
            {"Identificatie": insz, "Toegangsrechten": [{"Code": "Raadpleger"}]} for insz in report.agents
        ],
    }
