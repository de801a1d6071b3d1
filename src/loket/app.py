"""Puts the parts together: settings → `Loket`, which a web application (`web`) or a worker then serves."""

import pkgutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

from loket import accesslog, publishing, stages, tracing
from loket.channels.ebox import EBox
from loket.channels.email import Email
from loket.channels.mbp import Mbp
from loket.channels.sms import Sms
from loket.database import Database
from loket.definition import Definition
from loket.feed import Feed
from loket.publications import Publications, Version
from loket.publishing import Reading
from loket.replica import Replica
from loket.settings import PaymentModule as ModuleName
from loket.settings import Settings, SettingsError, sandbox_secrets
from loket.systems.accounting import Accounting
from loket.systems.acmidm import AcmIdm, TokenFacts
from loket.systems.acmidm_client import MachineTokens
from loket.systems.dosis import Dosis
from loket.systems.magda import Magda
from loket.systems.minutes import Minutes
from loket.systems.payments import PaymentModule
from loket.systems.planning import Planning
from loket.systems.sips import Sips
from loket.systems.worldline import Worldline
from loket.vault import Vault
from loket.wakeups import WakeUps
from loket.work import Actor, Work

SHIPPED = Path(__file__).parent / "procedures"


@dataclass(frozen=True)
class Systems:
    """The outside world: each knows its URL and credentials, nothing else."""

    acmidm: AcmIdm
    magda: Magda
    dosis: Dosis
    mbp: Mbp
    ebox: EBox
    payments: Mapping[str, PaymentModule]
    """By `Payment.module`: each payment is asked of the module by which it was begun."""
    accounting: Accounting
    planning: Planning
    minutes: Minutes
    email: Email
    sms: Sms
    tokens: tuple[MachineTokens, ...]

    async def aclose(self) -> None:
        for close in (
            self.acmidm.aclose, self.magda.aclose, self.dosis.aclose, self.mbp.aclose, self.ebox.aclose,
            *(module.aclose for module in self.payments.values()),
            self.accounting.aclose, self.planning.aclose, self.minutes.aclose,
            self.email.aclose, self.sms.aclose,
            *(one.aclose for one in self.tokens),
        ):  # fmt: skip
            await close()


class Loket:
    """One process's view of the whole. `async with Loket(settings) as loket`."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` and `publishing.DefinitionError` for what can not work."""
        if not settings.database_url:
            raise SettingsError("LOKET_DATABASE_URL is needed here; `loket run` starts a database of its own")
        if not settings.secret_key:
            raise SettingsError("LOKET_SECRET_KEY is needed: 32 bytes in hexadecimal")
        self.settings = settings
        self.vault = Vault(settings.secret_key)
        files = read_procedures(settings)
        self.database = Database(settings.database_url, wake_ups=_wake_ups(settings))
        replica = settings.read_database_url
        self.queries = Replica(replica, self.database) if replica else self.database
        """Where GraphQL queries are read."""
        self.procedures = Publications(self.database, files)
        self.feed = Feed(self.database)
        self.systems = connect(settings, self.database)
        self.bearers: dict[bytes, tuple[TokenFacts, Actor]] = {}
        """Who carries which access token, by its hash: so that a request with a known one costs no SQL."""
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.database)
        if isinstance(self.queries, Replica):
            await self._open.enter_async_context(self.queries)
        self._open.push_async_callback(self.systems.aclose)
        await self.procedures.refresh_if_possible()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @asynccontextmanager
    async def work(self, actor: Actor, *, now: datetime | None = None) -> AsyncIterator[Work]:
        """One transaction: what is done in it, and all that follows from it, is kept or forgotten whole."""
        with tracing.within(), tracing.span("transaction"):
            async with self.database.transaction() as session:
                work = Work(
                    session=session,
                    actor=actor,
                    now=now or datetime.now(UTC),
                    settings=self.settings,
                    vault=self.vault,
                    procedures=self.procedures,
                )
                yield work
                await stages.settle(work)


def load_procedures(settings: Settings) -> Mapping[Version, Definition]:
    """All versions of all procedures that stand in files. Raises as `read_procedures`."""
    return {one.version: one.definition for one in read_procedures(settings)}


def read_procedures(settings: Settings) -> list[Reading]:
    """The procedure files that came with this Loket and those of the municipality.

    Raises:
        publishing.DefinitionError: naming file, line and reason.
        SettingsError: something is sold with VAT, and the municipality has no VAT number.
    """
    folders = [SHIPPED, *([Path(settings.procedures)] if settings.procedures else [])]
    found = publishing.read_all(path for folder in folders for path in folder.glob("*.yaml"))
    taxed = sorted({one.definition.key for one in found if publishing.speaks_of_vat(one.definition)})
    if taxed and not settings.municipality.vat_number:
        needed = "LOKET_MUNICIPALITY_VAT_NUMBER is needed"
        raise SettingsError(f"{needed}: {', '.join(taxed)} sells within the scope of VAT")
    return found


def _wake_ups(settings: Settings) -> WakeUps | None:
    """None: PostgreSQL's own. Raises `SettingsError`."""
    nats = settings.nats
    if not nats.url:
        return None
    try:
        over_nats: Callable[..., WakeUps] = pkgutil.resolve_name("loket.nats_wakeups:Nats")
    except ImportError as fault:
        raise SettingsError("LOKET_NATS_URL needs nats-py: pip install 'loket[nats]'") from fault
    prefix = nats.prefix or f"loket.{settings.municipality.nis}"
    try:
        return over_nats(
            nats.url, prefix=prefix, credentials_file=nats.credentials_file, ca_file=nats.ca_file
        )
    except ValueError as fault:
        raise SettingsError(f"LOKET_NATS_URL: {fault}") from fault
    except OSError as fault:
        raise SettingsError(f"LOKET_NATS_CA_FILE: {fault}") from fault


def connect(settings: Settings, database: Database) -> Systems:
    """Raises `SettingsError` for a payment module that is chosen, not set; for a secret that others know."""
    _check_secrets(settings)
    acmidm = settings.acmidm
    dosis = MachineTokens(acmidm, token_url=settings.dosis.token_url, scope=settings.dosis.scope)
    notificaties = MachineTokens(
        acmidm, token_url=settings.notificaties.token_url, scope=settings.notificaties.scope
    )
    ebox = MachineTokens(acmidm, token_url=settings.ebox.token_url, scope=settings.ebox.scope)
    return Systems(
        acmidm=AcmIdm(
            acmidm, kbo=settings.municipality.kbo, redirect_uri=f"{settings.public_url}/auth/callback"
        ),
        magda=Magda(settings.magda, on_call=partial(accesslog.log_call, database)),
        dosis=Dosis(settings.dosis, auth=dosis),
        mbp=Mbp(settings.notificaties, auth=notificaties, source_uri=settings.dosis.source_uri),
        ebox=EBox(settings.ebox, auth=ebox, sender_kbo=settings.municipality.kbo),
        payments={
            ModuleName.WORLDLINE: Worldline(settings.worldline),
            ModuleName.SIPS: Sips(settings.sips),
        },
        accounting=Accounting(settings.accounting),
        planning=Planning(settings.planning),
        minutes=Minutes(settings.minutes),
        email=Email(settings.smtp),
        sms=Sms(settings.sms, public_url=settings.public_url),
        tokens=(dosis, notificaties, ebox),
    )


def _check_secrets(settings: Settings) -> None:
    if not settings.production:
        return
    if known := sandbox_secrets(settings):
        raise SettingsError(f"{', '.join(known)}: a secret of the sandbox, in production")
    sips = settings.sips
    if settings.payment_module is ModuleName.SIPS and not (sips.url and sips.office_url and sips.secret_key):
        needed = "LOKET_SIPS_URL, LOKET_SIPS_OFFICE_URL and LOKET_SIPS_SECRET_KEY are needed"
        raise SettingsError(f"{needed}: LOKET_PAYMENT_MODULE is sips")
    if sips.secret_key.startswith(f"{sips.merchant_id}_KEY") and sips.secret_key:
        raise SettingsError("LOKET_SIPS_SECRET_KEY is that of Sips' public simulator: everybody knows it")
