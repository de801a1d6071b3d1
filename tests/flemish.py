"""Loket as the Flemish systems know it: its key, its certificate, and a sandbox that was told of both."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from loket import settings
from loket.systems import acmidm_client

KBO = "0207500123"
CALLBACK = "http://127.0.0.1:8000/auth/callback"
BODY = {"client_id": "welzijnsregio", "client_secret": "geheim", "scopes": ["loket_advies", "DosisImport"]}
"""A body elsewhere that gives advice by machine."""
SCOPES = ["openid", "profile", "rrn", "vo", "loket", "DosisImport", "Notificaties", "Documentendienst"]


@dataclass(frozen=True)
class Credentials:
    """Files in PEM."""

    key: str
    certificate: str

    @classmethod
    def made_in(cls, folder: Path) -> "Credentials":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Loket Lindebeke")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        files = cls(str(folder / "loket.pem"), str(folder / "loket.crt"))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        Path(files.key).write_bytes(pem)
        Path(files.certificate).write_bytes(certificate.public_bytes(Encoding.PEM))
        return files

    def sandbox(self) -> dict[str, Any]:
        """The sandbox's configuration: free ports, nothing kept."""
        client = {
            "client_id": "loket",
            "jwks": acmidm_client.public_jwks(self.key),
            "redirect_uris": [CALLBACK],
            "scopes": SCOPES,
        }
        return {
            "port": 0,
            "acmidm": {"clients": [client]},
            "magda": {"certificate": Path(self.certificate).read_text()},
        }

    def acmidm(self, url: str, *, cache_seconds: int = 30) -> settings.AcmIdm:
        """As set up for the ACM/IDM that listens at `url`."""
        return settings.AcmIdm(
            issuer=f"{url}/op",
            client_id="loket",
            private_key_file=self.key,
            introspection_cache_seconds=cache_seconds,
            service_accounts=settings.ServiceAccounts(f"{BODY['client_id']}=region"),
        )

    def magda(self, url: str) -> settings.Magda:
        """As set up for the MAGDA that listens at `url`."""
        return settings.Magda(
            url=f"{url}/{{service}}Dienst-{{version}}/soap/WebService",
            private_key_file=self.key,
            certificate_file=self.certificate,
            timeout_seconds=3.0,
        )
