"""Whether the other systems can be reached: a call that changes nothing, and asks nothing about anybody."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiosmtplib
import httpx2

from loket.doctor.findings import Finding, remark, well, wrong
from loket.doctor.house import expiry
from loket.settings import Magda, Settings
from loket.systems import magda_soap

PATIENCE_SECONDS = 5.0
BROKEN = 500
NOWHERE = "look at its address, at the firewall, and at what they say of their system"


async def examine(settings: Settings) -> list[Finding]:
    """One finding per system that is connected, and one per certificate that will not last."""
    async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client:
        asked = [_call(client, name, url) for name, url in _addresses(settings)]
        found = await asyncio.gather(*asked, _magda(settings.magda), _mail(settings))
    return [one for several in found for one in several]


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    """Where each answers. What signs in or names a service is left out of the address."""
    known = {
        "ACM/IDM": settings.acmidm.issuer and f"{settings.acmidm.issuer}/.well-known/openid-configuration",
        "DOSIS": settings.dosis.url,
        "MBP": settings.notificaties.url,
        "eBox": settings.ebox.url,
        "Worldline": settings.worldline.url,
        "Sips": settings.sips.url,
        "Accounting": settings.accounting.url,
        "Planning": settings.planning.url,
        "Minutes": settings.minutes.url,
        "SMS": settings.sms.url if settings.sms.account_sid else "",
    }
    yield from ((name, url) for name, url in known.items() if url)


async def _magda(magda: Magda) -> list[Finding]:
    """Over the line that questions take: who insists on our certificate answers nobody without it."""
    if not magda.url:
        return []
    try:
        parts = urlsplit(magda.url.replace("{service}", ""))
        tls = magda_soap.tls(magda)
    except (OSError, ValueError) as fault:
        return [wrong("MAGDA", f"its address, key or certificate cannot be used: {fault}", "see Keys")]
    async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False, verify=tls) as client:
        return await _call(client, "MAGDA", f"{parts.scheme}://{parts.netloc}/")


async def _call(client: httpx2.AsyncClient, name: str, url: str) -> list[Finding]:
    """Whatever it answers without a password means that it is there; only its own fault does not."""
    try:
        answer = await client.get(url)
    except (httpx2.HTTPError, httpx2.InvalidURL) as fault:
        said = f"does not answer: {type(fault).__name__}: {fault}".rstrip(": ")
        return [wrong(name, said, NOWHERE)]
    found = [one async for one in _certificate(name, url)] if url.startswith("https://") else []
    if answer.status_code >= BROKEN:
        said = f"answers {answer.status_code}"
        return [remark(name, said, "what must go there waits until it is well again"), *found]
    return [well(name, f"answers at {urlsplit(url).netloc}"), *found]


async def _certificate(name: str, url: str) -> AsyncIterator[Finding]:
    """How long it is good; nothing where it is not shown to who has none of their own."""
    parts = urlsplit(url)
    context = ssl.create_default_context()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=context)
    except OSError:
        return
    shown = writer.get_extra_info("peercert")
    writer.close()
    with suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    until_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    yield expiry(name, "its certificate", until_at)


async def _mail(settings: Settings) -> list[Finding]:
    """A greeting, and goodbye."""
    smtp = settings.smtp
    if not smtp.host:
        return []
    client = aiosmtplib.SMTP(
        hostname=smtp.host, port=smtp.port, start_tls=smtp.start_tls, timeout=PATIENCE_SECONDS
    )
    try:
        await client.connect()
        await client.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as fault:
        return [wrong("E-mail", f"{smtp.host}:{smtp.port} does not answer: {type(fault).__name__}", NOWHERE)]
    return [well("E-mail", f"{smtp.host}:{smtp.port} answers")]
