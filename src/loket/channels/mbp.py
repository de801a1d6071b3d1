"""Messages in Mijn Burgerprofiel, sent through the Flemish Notificaties API.

Informative only: they announce a status that stands in DOSIS. The shapes of a receiver and of a channel are
not public; those here are the smallest plausible ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import orjson

from loket import settings
from loket.systems import calls
from loket.trust import authorities

NOTIFY = "/api/v2/notificaties"
CATEGORY = "DossierGerelateerdBerichtWijzigingDossier"
TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class Receipt:
    """The API took the message in; it gives no receipt of delivery."""

    id: UUID


class Mbp:
    """Sends one message to one citizen.

    Recognises a repeat: `key`, the message's own Id (assumed: no public page says so).
    """

    def __init__(self, section: settings.Notificaties, *, auth: httpx2.Auth, source_uri: str) -> None:
        """`auth` shows the token of scope `section.scope`; `source_uri` is that of our cases in DOSIS."""
        self._section = section
        self._source = source_uri
        self._client = httpx2.AsyncClient(
            base_url=section.url, auth=auth, timeout=TIMEOUT_SECONDS, trust_env=False, verify=authorities()
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def notify(
        self,
        *,
        id: UUID,
        insz: str,
        case_number: str,
        case_name: str,
        code: str,
        phase: str,
        status: str,
        product_id: str,
        detail: str | None = None,
        link: str | None = None,
        link_name: str | None = None,
        expires_at: datetime | None = None,
        channels: Sequence[str] = ("Web",),
    ) -> Receipt:
        """Tell a citizen that something changed on a case.

        `code` and `phase` are DOSIS's words, `status` and `detail` what the citizen reads; after `expires_at`
        nobody needs to be told any more. `channels`: Web, Email, Mobile, as far as the citizen's own
        preferences allow.

        Raises:
            Unavailable: no answer, or a 5xx or 429.
            Declined: the message does not hold (400), or our token does not allow it (401, 403).
        """
        pairs = {
            "DossierNummer": case_number,
            "DossierNaam": case_name,
            "StatusVlaamseCode": code,
            "StatusVlaamseFase": phase,
            "Status": status,
            "StatusDetail1": detail,
            "DocumentLinkUri": link,
            "ExterneLinkNaam": link_name,
        }
        bundle: dict[str, Any] = {
            "Id": str(id),
            "AanbiederUri": self._section.provider_uri,
            "Bestemmelingen": [{"Identificatie": insz, "Type": "Burger"}],
            "Categorie": CATEGORY,
            "TransactieId": f"{self._source}{case_number}",
            "Kanalen": [{"Kanaal": channel} for channel in channels],
            "ProductId": product_id,
            "MerkCode": self._section.brand_code,
            "SleutelWaardeParen": [
                {"Sleutel": key, "Waarde": value} for key, value in pairs.items() if value is not None
            ],
        }
        if expires_at is not None:
            bundle["Vervaldatum"] = expires_at.astimezone(UTC).isoformat(timespec="seconds")
        headers = {"Content-Type": "application/json"}
        request = self._client.build_request("POST", NOTIFY, content=orjson.dumps(bundle), headers=headers)
        await calls.call("mbp", self._client, request)
        return Receipt(id)
