"""Settings, read once from the environment and frozen.

Every variable is `LOKET_<SECTION>_<NAME>`. A secret may stand in a file: `LOKET_…_FILE` names it.
Adapters know only what stands here: URLs and credentials.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, get_type_hints
from urllib.parse import urlsplit

from stdnum.be import vat
from stdnum.exceptions import ValidationError

LONGEST_URL = 2_000
"""Characters of an address that a client gives us."""
LAST_PORT = 65_535
MOST_MONTHS = 1_200


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable."""


class ReferenceLine(StrEnum):
    """The line of a payment code that carries the reference.

    Banking apps in Belgium show it as a structured communication only from the first.
    """

    STRUCTURED = "structured"
    TEXT = "text"


class PaymentModule(StrEnum):
    """Each keeps the contract of `systems.payments`."""

    WORLDLINE = "worldline"
    """Worldline Direct."""
    SIPS = "sips"
    """Worldline Sips 2.0 Paypage (formerly ATOS)."""


class Mailboxes(str):
    """Where departments hear of new work: `Sociale dienst=sociaal@stad.example; *=onthaal@stad.example`.

    `*` stands for all departments that are not named. Raises `ValueError` for anything else.
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        seen: set[str] = set()
        for name, address in _boxes(text):
            if not name or name in seen:
                raise ValueError(f"{name or 'no department'} stands twice or nowhere")
            if not _MAILBOX.fullmatch(address):
                raise ValueError(f"{address!r} is no mailbox")
            seen.add(name)
        return super().__new__(cls, text)

    def of(self, department: str) -> str | None:
        """The mailbox of `department`, as the procedure names it in Dutch; None where nobody is told."""
        known = dict(_boxes(self))
        return known.get(department.casefold()) or known.get("*")


class ServiceAccounts(str):
    """For which bodies elsewhere a client of ACM/IDM speaks: `ehl-koppeling=energiehuis; kb=kind-en-gezin`.

    Bodies are named as procedures name their external advisers, several with a comma between them. Raises
    `ValueError` for anything else.
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        known = _accounts(text)
        if any(not client or not all(bodies) for client, bodies in known):
            raise ValueError("each account is a client_id, = and the keys of its advisers")
        if len(dict(known)) < len(known):
            raise ValueError("a client_id stands twice")
        return super().__new__(cls, text)

    @property
    def clients(self) -> tuple[str, ...]:
        return tuple(dict(_accounts(self)))

    def bodies_of(self, client_id: str) -> tuple[str, ...]:
        """The advisers for whom this client speaks; none for a client that is no account of ours."""
        return dict(_accounts(self)).get(client_id, ())


def _accounts(text: str) -> list[tuple[str, tuple[str, ...]]]:
    parts = [part.partition("=") for part in text.split(";") if part.strip()]
    return [(name.strip(), tuple(one.strip() for one in bodies.split(","))) for name, _, bodies in parts]


_MAILBOX = re.compile(r"[^@\s;,<>\"]+@[^@\s;,<>\".]+(\.[^@\s;,<>\".]+)+")


def _boxes(text: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in text.split(";") if part.strip()]
    return [(name.strip().casefold(), address.strip()) for name, _, address in parts]


class VatNumber(str):
    """BE0207500123, or empty for who is not registered. Raises `ValueError` for anything else."""

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        if not text.strip():
            return super().__new__(cls, "")
        try:
            return super().__new__(cls, f"BE{vat.validate(text)}")
        except ValidationError as fault:
            raise ValueError(f"{text!r} is no Belgian VAT number") from fault


class AccountCode(str):
    """An account of the chart (algemene rekening, MAR): digits, of class 0 to 7. Raises `ValueError`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _ACCOUNT_CODE.fullmatch(text):
            raise ValueError(f"{text!r} is no account of the classes 0 to 7: three to eight digits")
        return super().__new__(cls, text)


_ACCOUNT_CODE = re.compile(r"[0-7][0-9]{2,7}")


class Ports(str):
    """Numbers of ports with commas between them: `443,8443`. Raises `ValueError` for anything else."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        one = super().__new__(cls, text)
        if not one.numbers or not all(1 <= number <= LAST_PORT for number in one.numbers):
            raise ValueError(f"{text!r} is no row of ports")
        return one

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(int(one) for one in self.split(","))


class Hosts(str):
    """Names of hosts with commas between them: `esb.stad.intern, bi.stad.intern`."""

    __slots__ = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(one.strip().casefold() for one in self.split(",") if one.strip())


class Months(int):
    """How many months, from 0 to 1200; nothing is 0. Raises `ValueError` for anything else."""

    __slots__ = ()

    def __new__(cls, text: str | int = 0) -> Self:
        one = super().__new__(cls, text or 0)
        if not 0 <= one <= MOST_MONTHS:
            raise ValueError(f"{text!r} is no number of months: from 0 to {MOST_MONTHS}")
        return one


@dataclass(frozen=True)
class Municipality:
    """The data controller: one deployment serves one municipality."""

    name: str = "Gemeente Lindebeke"
    nis: str = "13999"
    kbo: str = "0207500123"
    vat_number: VatNumber = VatNumber()  # noqa: RUF009  # a text: it cannot change
    """Under which VAT is charged. Empty: not registered, so nothing is sold within the scope of VAT."""
    iban: str = "BE71096123456769"
    bic: str = "GKCCBEBB"
    reference_line: ReferenceLine = ReferenceLine.STRUCTURED
    street: str = "Dorpsplein 1"
    postal_code: str = "2999"
    city: str = "Lindebeke"
    email: str = "info@lindebeke.example"
    phone: str = "+3214000000"
    website: str = "https://www.lindebeke.example"


@dataclass(frozen=True)
class AcmIdm:
    """Sign-in. `issuer` as in its discovery document, without trailing slash."""

    issuer: str = ""
    client_id: str = "loket"
    private_key_file: str = ""
    citizen_scopes: str = "openid profile rrn"
    staff_scopes: str = "openid profile vo loket"
    role_claim: str = "loket_rol_3d"
    introspection_cache_seconds: int = 30
    service_accounts: ServiceAccounts = ServiceAccounts()  # noqa: RUF009  # a text: it cannot change
    """Who gives advice by machine, with a token of its own. Empty: nobody."""
    service_scope: str = "loket_advies"
    """What such a token must be for, beside having Loket as its audience."""


@dataclass(frozen=True)
class Magda:
    """SOAP services. `url` may hold `{service}` and `{version}`; empty means: MAGDA is not connected."""

    url: str = ""
    sender: str = "kb.vlaanderen.be/lindebeke/loket-aip"
    quality_code: str = "1300"
    private_key_file: str = ""
    certificate_file: str = ""
    signature_algorithm: str = "rsa-sha256"
    timeout_seconds: float = 15.0


@dataclass(frozen=True)
class Dosis:
    url: str = ""
    token_url: str = ""
    scope: str = "DosisImport"
    source_uri: str = "urn://lindebeke/loket"


@dataclass(frozen=True)
class Notificaties:
    """Messages in Mijn Burgerprofiel."""

    url: str = ""
    token_url: str = ""
    scope: str = "Notificaties"
    provider_uri: str = "https://data.vlaanderen.be/id/organisatie/OVO999999"
    brand_code: str = "lindebeke"


@dataclass(frozen=True)
class Ebox:
    """Legal delivery in a citizen's eBox, through MAGDA's Documentendienst. Empty `url`: not connected."""

    url: str = ""
    token_url: str = ""
    scope: str = "Documentendienst"


@dataclass(frozen=True)
class Worldline:
    """Worldline Direct, hosted checkout."""

    url: str = ""
    merchant_id: str = ""
    api_key_id: str = ""
    api_secret: str = field(default="", repr=False)
    webhook_key_id: str = ""
    webhook_secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Sips:
    """Worldline Sips 2.0, Paypage JSON. `office_url`: where refunds are asked."""

    url: str = ""
    office_url: str = ""
    merchant_id: str = ""
    key_version: str = "1"
    secret_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Bank:
    """Where the bank's statements of the municipality's account come in. Empty: no folder is watched."""

    statement_folder: str = ""


@dataclass(frozen=True)
class Accounting:
    """Our published REST contract (systems/contracts/accounting.openapi.yaml)."""

    url: str = ""
    token: str = field(default="", repr=False)
    hook_secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Ledger:
    """Which account of the municipality's own chart (MAR) each of ours is.

    The defaults are an assumption: the first three digits are the ministry's (MB 26/06/2018), the rest a
    municipality's choice. `revenue` and `grants` count only where a budget key names no account.
    """

    receivable: AccountCode = AccountCode("4000000")  # noqa: RUF009  # texts: they cannot change
    revenue: AccountCode = AccountCode("7010000")  # noqa: RUF009
    vat: AccountCode = AccountCode("4510000")  # noqa: RUF009
    costs: AccountCode = AccountCode("7450000")  # noqa: RUF009
    bank: AccountCode = AccountCode("5500000")  # noqa: RUF009
    module: AccountCode = AccountCode("5800000")  # noqa: RUF009
    cash: AccountCode = AccountCode("5700000")  # noqa: RUF009
    refundable: AccountCode = AccountCode("4890000")  # noqa: RUF009
    grants: AccountCode = AccountCode("6490000")  # noqa: RUF009
    loss: AccountCode = AccountCode("6420000")  # noqa: RUF009


@dataclass(frozen=True)
class Planning:
    """Our published REST contract (systems/contracts/planning.openapi.yaml)."""

    url: str = ""
    token: str = field(default="", repr=False)
    hook_secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Minutes:
    """PloneMeeting's REST API; what it tells by itself comes by systems/contracts/minutes.openapi.yaml.

    `url` is the portal's address as its own answers write it: to another one our password is not sent.
    `config_…` is the package's name for each body; a body without one cannot be asked. `transitions` are the
    steps, separated by commas, that bring a new item on the agenda.
    """

    url: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    hook_secret: str = field(default="", repr=False)
    config_college: str = "meeting-config-college"
    config_council: str = "meeting-config-council"
    config_vast_bureau: str = "meeting-config-vast-bureau"
    config_rmw: str = "meeting-config-rmw"
    config_bcsd: str = "meeting-config-bcsd"
    proposing_group: str = "sociale-dienst"
    annex_category: str = "item-annex"
    transitions: str = "propose,validate,present"


@dataclass(frozen=True)
class Smtp:
    host: str = ""
    port: int = 25
    username: str = ""
    password: str = field(default="", repr=False)
    start_tls: bool = False
    sender: str = "Gemeente Lindebeke <noreply@lindebeke.example>"
    bounce_domain: str = "lindebeke.example"


@dataclass(frozen=True)
class Sms:
    """Twilio. `url` replaces https://api.twilio.com where another host speaks the same API."""

    url: str = "https://api.twilio.com"
    account_sid: str = ""
    auth_token: str = field(default="", repr=False)
    sender: str = "Lindebeke"


@dataclass(frozen=True)
class Webhooks:
    """Where subscribers may have themselves called. `private_hosts`: also those of the own network."""

    ports: Ports = Ports("443,8443")  # noqa: RUF009  # texts: they cannot change
    private_hosts: Hosts = Hosts()  # noqa: RUF009


@dataclass(frozen=True)
class Nats:
    """A NATS server that carries wake-ups in place of PostgreSQL's NOTIFY, for many processes.

    `url`: nats://host:4222 or tls://host:4222, several of one cluster with commas between; a user and a
    password may stand in it. `credentials_file` is what NATS calls a `.creds` file. `prefix` begins the
    subjects; where several installations share a server each has its own. Empty: `loket.` and the NIS code.
    """

    url: str = field(default="", repr=False)
    credentials_file: str = ""
    ca_file: str = ""
    prefix: str = ""


@dataclass(frozen=True)
class Retention:
    """How long history is kept, in whole months; 0: for ever.

    Effects go to the archive after `archive_months`, once all of their month are done; there they are read.
    `effects_months` and `events_months` are for what is of cases that are closed that long.
    """

    archive_months: Months = Months(3)  # noqa: RUF009  # numbers: they cannot change
    effects_months: Months = Months()  # noqa: RUF009
    events_months: Months = Months()  # noqa: RUF009


@dataclass(frozen=True)
class Settings:
    home: str = ".loket"
    """Where the private PostgreSQL, keys and logs of a default run live."""
    production: bool = False
    """True refuses the sandbox's secrets and plain-http cookies."""
    database_url: str = ""
    """Empty: a private PostgreSQL under `home` is started."""
    read_database_url: str = ""
    """A standby that follows the database by streaming replication: GraphQL queries are read from it, and are
    never older than the database is (`replica`); all else stays where it was. One server, not a name for
    several. Where it is away or half a second behind, the database is read. Empty: always."""
    public_url: str = "http://127.0.0.1:8000"
    """How citizens and other systems reach this API; never taken from the Host header."""
    website_url: str = "http://127.0.0.1:8000"
    """The municipality's website: return address after sign-in and payment, allowed Origin."""
    host: str = "127.0.0.1"
    port: int = 8000
    procedures: str = ""
    """A folder of definition files beside the shipped ones."""
    payment_module: PaymentModule = PaymentModule.WORLDLINE
    """Over which module citizens pay online."""
    scanner: str = ""
    """`clamd://host:3310` looks for malware in uploads. Empty: nobody looks, something else must."""
    department_mailboxes: Mailboxes = Mailboxes()  # noqa: RUF009  # a text: it cannot change
    """Who is told by e-mail that a case waits for a handler, by department. Empty: nobody."""
    live_per_person: int = 50
    """Sockets and event streams that somebody may have open at once in an API process. 0: any number."""
    live_per_address: int = 200
    """The same of those of one address that have not said who they are, as right after they connected."""
    metrics_token: str = field(default="", repr=False)
    """Whoever asks for `/metrics` carries it as a Bearer token. Empty: in production nobody gets them."""
    secret_key: str = field(default="", repr=False)
    """32 bytes, hex: cookies, upload and document links, blind indexes, encryption at rest."""
    municipality: Municipality = field(default_factory=Municipality)
    acmidm: AcmIdm = field(default_factory=AcmIdm)
    magda: Magda = field(default_factory=Magda)
    dosis: Dosis = field(default_factory=Dosis)
    notificaties: Notificaties = field(default_factory=Notificaties)
    ebox: Ebox = field(default_factory=Ebox)
    worldline: Worldline = field(default_factory=Worldline)
    sips: Sips = field(default_factory=Sips)
    bank: Bank = field(default_factory=Bank)
    accounting: Accounting = field(default_factory=Accounting)
    ledger: Ledger = field(default_factory=Ledger)
    planning: Planning = field(default_factory=Planning)
    minutes: Minutes = field(default_factory=Minutes)
    smtp: Smtp = field(default_factory=Smtp)
    sms: Sms = field(default_factory=Sms)
    retention: Retention = field(default_factory=Retention)
    nats: Nats = field(default_factory=Nats)
    webhooks: Webhooks = field(default_factory=Webhooks)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Raises `SettingsError` for a value of the wrong type and for an unknown `LOKET_` variable."""
        environment = os.environ if environment is None else environment
        known: set[str] = set()
        settings = _read(cls, "LOKET", environment, known)
        ours = (name for name in environment if name.startswith("LOKET_"))
        unknown = sorted(name for name in ours if not {name, name.removesuffix("_FILE")} & (known | _OWN))
        if unknown:
            raise SettingsError(f"unknown setting: {', '.join(unknown)}")
        for name, url in (("", settings.database_url), ("READ_", settings.read_database_url)):
            if url and not _POSTGRESQL.match(url):
                raise SettingsError(
                    f"LOKET_{name}DATABASE_URL is no address such as postgresql://loket:SECRET@db.example/loket"
                )
        return settings


OF_THE_SANDBOX = "sandbox-"
"""How every secret begins that Loket and its sandbox know each other by."""
_OWN = {"LOKET_SANDBOX_PORT", "LOKET_TEST_DATABASE_URL"}
"""Variables that other commands of ours read."""
_POSTGRESQL = re.compile(r"postgres(ql)?(\+\w+)?://")
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


class _Fields(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Section = TypeVar("Section", bound=_Fields)


def _read(kind: type[Section], prefix: str, environment: Mapping[str, str], known: set[str]) -> Section:
    values: dict[str, object] = {}
    hints = get_type_hints(kind)
    for one in fields(kind):
        name = f"{prefix}_{one.name.upper()}"
        hint = hints[one.name]
        if isinstance(hint, type) and is_dataclass(hint):
            values[one.name] = _read(hint, name, environment, known)
            continue
        known.add(name)
        text = _text(name, environment)
        if text is not None:
            values[one.name] = _parse(name, text, hint)
    return kind(**values)


def _text(name: str, environment: Mapping[str, str]) -> str | None:
    if name in environment:
        return environment[name]
    file = environment.get(f"{name}_FILE") if not name.endswith("_FILE") else None
    if file is None:
        return None
    try:
        return Path(file).read_text("utf-8").strip()
    except OSError as fault:
        raise SettingsError(f"{name}_FILE: {fault}") from fault


def _parse(name: str, text: str, kind: type[bool | int | float | str]) -> object:
    if name.endswith("_PORT"):
        return port(name, text)
    try:
        return _SWITCH[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as fault:
        known = kind in (AccountCode, Mailboxes, Months, Ports, ServiceAccounts, VatNumber)
        why = fault if known else f"{text!r} is not a {kind.__name__}"
        raise SettingsError(f"{name}: {why}") from fault


def sandbox_secrets(settings: _Fields, prefix: str = "LOKET") -> list[str]:
    """The names of settings that hold a secret of a sandbox's: of any, wherever it was copied from."""
    found: list[str] = []
    for one in fields(settings):
        name, value = f"{prefix}_{one.name.upper()}", getattr(settings, one.name)
        if is_dataclass(value) and not isinstance(value, type):
            found += sandbox_secrets(value, name)
        elif isinstance(value, str) and value.startswith(OF_THE_SANDBOX):
            found.append(name)
    return found


def port(name: str, text: str, *, row: int = 1) -> int:
    """The first of `row` ports. Raises `SettingsError` where they do not lie between 1 and 65535."""
    last = LAST_PORT - row + 1
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= last):
        raise SettingsError(f"{name}: {text!r} is no port: a number from 1 to {last}")
    return int(text)


def is_ours(settings: Settings, url: str) -> bool:
    """Whether `url` leads to the municipality's website or to Loket itself, and nowhere else."""
    if len(url) > LONGEST_URL or any(one.isspace() or not one.isprintable() or one == "\\" for one in url):
        return False  # what browsers and `urlsplit` read differently
    try:
        wanted = urlsplit(url)
    except ValueError:
        return False
    return any(
        (wanted.scheme, wanted.netloc) == urlsplit(own)[:2]
        for own in (settings.website_url, settings.public_url)
    )
