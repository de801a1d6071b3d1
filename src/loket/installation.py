"""What a first start makes under `home`: keys, secrets and ports; and what a later start finds there.

    home/loket.env      this installation's own settings: edit them freely, they are read at every start
    home/sandbox.env    how Loket reaches the sandbox, read only when the sandbox runs
    home/sandbox.json   the sandbox's side of the same, written anew at every start
    home/keys/          the client key for ACM/IDM, the key and certificate for MAGDA
    home/bank/          where the sandbox's bank puts its statements
    home/postgres/      the private PostgreSQL        home/logs/   what the processes say

The environment wins over both files.
"""

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey

from loket.settings import LAST_PORT, OF_THE_SANDBOX, Settings
from loket.settings import port as port_of

API_PORT = 8000
SANDBOX_PORT = 8100
SANDBOX_PORTS = 14
"""The desk, twelve systems and mail."""
CERTIFICATE_LIFE = timedelta(days=3650)
SANDBOX_SCOPES = [
    "openid", "profile", "rrn", "vo", "loket", "DosisImport", "Notificaties", "Documentendienst",
]  # fmt: skip


SANDBOX_SERVICE = {
    "client_id": "welzijnsregio",
    "client_secret": "welzijnsregio-in-de-zandbak",
    "scopes": ["loket_advies"],
}
"""A body elsewhere that gives advice by machine: it gets its own tokens at ACM/IDM."""


class InstallationError(Exception):
    """What stands under `home` cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Installation:
    """A folder made ready. `environment` is whole: the files and the process's own, which wins."""

    home: Path
    environment: dict[str, str]
    sandbox_port: int | None
    """None: this run talks to real systems."""

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    @property
    def sandbox_file(self) -> Path:
        return self.home / "sandbox.json"


def prepare(home: Path, environment: Mapping[str, str], *, sandbox: bool) -> Installation:
    """Make what is missing under `home`, and read what is there.

    Raises:
        InstallationError: a line of a settings file is no setting, or the folder is not ours to write.
        SettingsError: a setting has a wrong value.
    """
    try:
        _folders(home)
        _first_settings(home, environment)
        found = _read(home / "loket.env")
        if sandbox:
            _first_sandbox(home, environment)
            found |= _read(home / "sandbox.env")
    except OSError as fault:
        raise InstallationError(f"{home} cannot be used: {fault}") from fault
    own = {name: value for name, value in environment.items() if name.startswith("LOKET_")}
    in_a_file = {name.removesuffix("_FILE") for name in own if name.endswith("_FILE")}
    merged = {
        name: value for name, value in (_key_files(home) | found).items() if name not in in_a_file
    } | own
    merged["LOKET_HOME"] = str(home)
    merged.setdefault("LOKET_PUBLIC_URL", f"http://127.0.0.1:{merged['LOKET_PORT']}")
    merged.setdefault("LOKET_WEBSITE_URL", merged["LOKET_PUBLIC_URL"])
    port = None
    if sandbox:
        merged.setdefault("LOKET_BANK_STATEMENT_FOLDER", str((home / "bank").absolute()))
        port = port_of("LOKET_SANDBOX_PORT", merged["LOKET_SANDBOX_PORT"], row=SANDBOX_PORTS)
    if port is not None:
        merged = sandbox_urls(port) | merged
    rest = {name: value for name, value in environment.items() if not name.startswith("LOKET_")}
    installation = Installation(home=home, environment=rest | merged, sandbox_port=port)
    if port is not None:
        _write(installation.sandbox_file, json.dumps(_sandbox(installation, port), indent=2) + "\n")
    return installation


def sandbox_urls(port: int) -> dict[str, str]:
    """Where each system of a sandbox at `port` answers, and who plays along there, as Loket's settings."""
    at = "http://127.0.0.1:{}".format
    return {
        "LOKET_ACMIDM_ISSUER": f"{at(port + 1)}/op",
        "LOKET_ACMIDM_SERVICE_ACCOUNTS": f"{SANDBOX_SERVICE['client_id']}=welfare-partner",
        "LOKET_MAGDA_URL": f"{at(port + 2)}/{{service}}Dienst-{{version}}/soap/WebService",
        "LOKET_DOSIS_URL": at(port + 3),
        "LOKET_DOSIS_TOKEN_URL": f"{at(port + 1)}/op/v1/token",
        "LOKET_NOTIFICATIES_URL": at(port + 4),
        "LOKET_NOTIFICATIES_TOKEN_URL": f"{at(port + 1)}/op/v1/token",
        "LOKET_WORLDLINE_URL": at(port + 5),
        "LOKET_SIPS_URL": at(port + 12),
        "LOKET_SIPS_OFFICE_URL": at(port + 12),
        "LOKET_ACCOUNTING_URL": at(port + 6),
        "LOKET_PLANNING_URL": at(port + 7),
        "LOKET_SMS_URL": at(port + 8),
        "LOKET_SMTP_HOST": "127.0.0.1",
        "LOKET_SMTP_PORT": str(port + 9),
        "LOKET_MINUTES_URL": at(port + 10),
        "LOKET_EBOX_URL": at(port + 11),
        "LOKET_EBOX_TOKEN_URL": f"{at(port + 1)}/op/v1/token",
    }


# --- the first start ---------------------------------------------------------------------------------------


def _folders(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    # PostgreSQL's own user must pass through a home of root's; what is secret is closed by itself.
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    for name in ("keys", "logs", "sandbox", "bank"):
        (home / name).mkdir(mode=0o700, exist_ok=True)


def _first_settings(home: Path, environment: Mapping[str, str]) -> None:
    file = home / "loket.env"
    if file.exists():
        return
    keys = _key_files(home)
    _write(Path(keys["LOKET_ACMIDM_PRIVATE_KEY_FILE"]), _pem(_key()))
    key = _key()
    _write(Path(keys["LOKET_MAGDA_PRIVATE_KEY_FILE"]), _pem(key))
    _write(Path(keys["LOKET_MAGDA_CERTIFICATE_FILE"]), _certificate(key, environment))
    port = environment.get("LOKET_PORT") or str(free_ports(API_PORT, 1))
    _write_settings(
        file,
        "Made at the first start and kept. The environment wins over this file.",
        {
            "LOKET_PORT": port,
            "LOKET_SECRET_KEY": secrets.token_hex(32),
        },
    )


def _key_files(home: Path) -> dict[str, str]:
    """Not in a file, so that a folder may be moved."""
    keys = home.absolute() / "keys"
    return {
        "LOKET_ACMIDM_PRIVATE_KEY_FILE": str(keys / "acmidm.pem"),
        "LOKET_MAGDA_PRIVATE_KEY_FILE": str(keys / "magda.pem"),
        "LOKET_MAGDA_CERTIFICATE_FILE": str(keys / "magda.crt"),
    }


def _first_sandbox(home: Path, environment: Mapping[str, str]) -> None:
    """What an older Loket left is completed: a later one may talk to more systems."""
    file = home / "sandbox.env"
    kept = _read(file) if file.exists() else {}
    port = (
        kept.get("LOKET_SANDBOX_PORT")
        or environment.get("LOKET_SANDBOX_PORT")
        or str(free_ports(SANDBOX_PORT, SANDBOX_PORTS))
    )
    _write_settings(
        file,
        "How Loket and its sandbox recognise each other; worthless anywhere else.",
        {
            "LOKET_SANDBOX_PORT": port,
            "LOKET_WORLDLINE_MERCHANT_ID": "LINDEBEKE",
            "LOKET_WORLDLINE_API_KEY_ID": secrets.token_hex(8).upper(),
            "LOKET_WORLDLINE_API_SECRET": _secret(),
            "LOKET_WORLDLINE_WEBHOOK_KEY_ID": secrets.token_hex(8),
            "LOKET_WORLDLINE_WEBHOOK_SECRET": _secret(),
            "LOKET_SIPS_MERCHANT_ID": "002001000000002",
            "LOKET_SIPS_SECRET_KEY": _secret(),
            "LOKET_ACCOUNTING_TOKEN": _secret(),
            "LOKET_ACCOUNTING_HOOK_SECRET": _secret(),
            "LOKET_PLANNING_TOKEN": _secret(),
            "LOKET_PLANNING_HOOK_SECRET": _secret(),
            "LOKET_MINUTES_USER": "loket",
            "LOKET_MINUTES_PASSWORD": _secret(),
            "LOKET_MINUTES_HOOK_SECRET": _secret(),
            "LOKET_SMS_ACCOUNT_SID": f"AC{secrets.token_hex(16)}",
            "LOKET_SMS_AUTH_TOKEN": _secret(),
            **kept,
        },
    )


def _secret() -> str:
    return OF_THE_SANDBOX + secrets.token_urlsafe(32)


def free_ports(wanted: int, count: int) -> int:
    """The first of `count` ports in a row on 127.0.0.1 that nobody uses: `wanted`, or one further on.

    Raises:
        InstallationError: none in the hundred ranges tried.
    """
    step = max(count, 10)
    for first in range(wanted, min(wanted + 100 * step, LAST_PORT + 2 - count), step):
        if all(is_free(port) for port in range(first, first + count)):
            return first
    raise InstallationError(f"no free port from {wanted} on: set LOKET_PORT and LOKET_SANDBOX_PORT")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed one is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def _certificate(key: rsa.RSAPrivateKey, environment: Mapping[str, str]) -> str:
    """A certificate that signs for itself: the real one comes from the Flemish certificate authority."""
    municipality = Settings.from_environment(environment).municipality
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "BE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, municipality.name[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"loket {municipality.nis}"),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


# --- the sandbox's side ------------------------------------------------------------------------------------


def _sandbox(installation: Installation, port: int) -> dict[str, Any]:
    settings = installation.settings
    public = settings.public_url
    return {
        "host": "127.0.0.1",
        "port": port,
        "state": str((installation.home / "sandbox").absolute()),
        "loket_url": public,
        "municipality": {
            "name": settings.municipality.name,
            "nis": settings.municipality.nis,
            "kbo": settings.municipality.kbo,
        },
        "acmidm": {
            "clients": [
                {
                    "client_id": settings.acmidm.client_id,
                    "jwks": {"keys": [_public_key(Path(settings.acmidm.private_key_file))]},
                    "redirect_uris": [f"{public}/auth/callback"],
                    "post_logout_redirect_uris": [settings.website_url],
                    "scopes": SANDBOX_SCOPES,
                },
                SANDBOX_SERVICE,
            ]
        },
        "magda": {"certificate": Path(settings.magda.certificate_file).read_text("ascii")},
        "worldline": {
            "merchant_id": settings.worldline.merchant_id,
            "api_key_id": settings.worldline.api_key_id,
            "api_secret": settings.worldline.api_secret,
            "webhook_key_id": settings.worldline.webhook_key_id,
            "webhook_secret": settings.worldline.webhook_secret,
            "webhook_url": f"{public}/hooks/payments/worldline",
        },
        "sips": {
            "merchant_id": settings.sips.merchant_id,
            "key_version": settings.sips.key_version,
            "secret_key": settings.sips.secret_key,
        },
        "accounting": {
            "token": settings.accounting.token,
            "hook_url": f"{public}/hooks/accounting",
            "hook_secret": settings.accounting.hook_secret,
        },
        "bank": {"folder": settings.bank.statement_folder, "iban": settings.municipality.iban},
        "planning": {
            "token": settings.planning.token,
            "hook_url": f"{public}/hooks/planning",
            "hook_secret": settings.planning.hook_secret,
        },
        "minutes": {
            "user": settings.minutes.user,
            "password": settings.minutes.password,
            "hook_url": f"{public}/hooks/minutes/decision",
            "hook_secret": settings.minutes.hook_secret,
        },
        "sms": {"account_sid": settings.sms.account_sid, "auth_token": settings.sms.auth_token},
    }


def _public_key(file: Path) -> dict[str, Any]:
    """What ACM/IDM is given of our key; its `kid` is the thumbprint of RFC 7638."""
    key = RSAKey.import_key(file.read_bytes())
    key.ensure_kid()
    return {**key.as_dict(private=False), "use": "sig", "alg": "RS256"}


# --- files -------------------------------------------------------------------------------------------------


def _write_settings(file: Path, remark: str, values: Mapping[str, str]) -> None:
    lines = [f"# {remark}", *(f"{name}={value}" for name, value in values.items())]
    _write(file, "\n".join(lines) + "\n")


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and for nobody else to read."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _read(file: Path) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, sign, value = text.partition("=")
        if not sign or not name.startswith("LOKET_"):
            raise InstallationError(f"{file}:{number}: not a line LOKET_…=value")
        values[name.strip()] = value.strip()
    return values
