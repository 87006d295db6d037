"""Every setting of Beckon, declared once with its variable, type, default and purpose; one frozen `Settings`.

`load()` reads the environment, then a `.env` file (the environment wins), then the values that the first start
generated and stored in `BECKON_HOME`. An invalid value raises `SettingsError` with one line: the variable, the expected
value and the one received. An unknown `BECKON_` name is rejected with the nearest known one. Secrets are never shown.

`VARIABLES` is the table behind `beckon doctor` and `docs/operating.md`. This module contacts no server and reads only
those two files.

pydantic-settings declares, reads and validates. Three pieces are our own:

- The messages: pydantic's name its types and show the value, also a secret's.
- The reader of `.env`: python-dotenv skips an invalid line, replaces `$` in passwords and cuts values at ` #`. It also
  would be a separate source, so that an empty variable of the environment would no longer hide the file's.
- URLs stay as they were written: pydantic's types rewrite them, and refuse those of Unix sockets.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import ipaddress
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast, get_args
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from rules.channels import TEXT_PROVIDERS
from rules.json_text import load_json

#: The directory that the programs run in.
ROOT = Path(__file__).resolve().parent

#: Set by `beckon up` for its own child processes; internal, not settings.
INTERNAL = frozenset(
    {
        "BECKON_ENV_FILE",
        "BECKON_GUARD",
        "BECKON_OLD_WEB_PROCESSES",
        "BECKON_POSTGRES",
        "BECKON_PYTHON",
        "BECKON_REDIS",
        "BECKON_RUN",
        "BECKON_SLOT",
    }
)


class SettingsError(Exception):
    """The configuration cannot be used; the message is one line that names the variable."""


@dataclass(frozen=True)
class ValueType:
    """A type of value, as messages and the documentation describe it."""

    expected: str


@dataclass(frozen=True)
class Variable:
    """One row of the table: an environment variable and the field of `Settings` that it sets."""

    name: str
    attribute: str
    kind: ValueType
    default_text: str
    explanation: str
    secret: bool


_HOST_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*")


def normalise_host(text: str) -> str:
    """Normalize a host without a port for comparison: lower case, no final dot, IPv6 in brackets and shortest form.

    Raises ValueError for an invalid host.
    """
    if text.startswith("[") and text.endswith("]") and "%" not in text:
        return f"[{ipaddress.IPv6Address(text[1:-1])}]"
    name = text.lower().removesuffix(".")
    if not text.isascii() or len(name) > 253 or not _HOST_NAME.fullmatch(name):
        raise ValueError(text)
    return name


def _add_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _split(text: object) -> object:
    return [part for item in text.split(",") if (part := item.strip())] if isinstance(text, str) else text


def _parse_host(url: str) -> str | None:
    """Return a URL's host in its normal form; None if it has no valid host."""
    try:
        return normalise_host(_add_brackets(urlsplit(url).hostname or ""))
    except ValueError:
        return None


def _build_url_check(*schemes: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not (parts.netloc or parts.query or parts.path.strip("/")):
            raise ValueError(text)
        return text.rstrip("/")

    return check


def _check_text_provider(text: str) -> str:
    if text not in TEXT_PROVIDERS:
        raise ValueError(text)
    return text


_CENTURY_SECONDS = 100 * 365 * 86_400

Networks = Annotated[
    tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
    BeforeValidator(_split),
    ValueType("networks such as 10.0.0.0/8, separated by commas"),
]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(lambda text: normalise_host(_add_brackets(text)))], ...],
    BeforeValidator(_split),
    ValueType("host names or addresses without a port, separated by commas"),
]
Seconds = Annotated[
    float,
    Field(ge=-_CENTURY_SECONDS, le=_CENTURY_SECONDS, allow_inf_nan=False),
    ValueType("a number of seconds"),
]
Switch = Annotated[bool, ValueType("1 or 0")]
#: A switch that overrides every workspace's own; None leaves it to them.
Override = Annotated[bool | None, ValueType("1 or 0")]
Rate = Annotated[int, Field(ge=1, le=1_000_000)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Text = Annotated[str, ValueType("text")]
HttpUrl = Annotated[
    str,
    AfterValidator(_build_url_check("http", "https")),
    ValueType("a URL that starts with http:// or https://"),
]
PostgresUrl = Annotated[
    str,
    AfterValidator(_build_url_check("postgresql", "postgres")),
    ValueType("a URL that starts with postgresql:// or postgres://"),
]
RedisUrl = Annotated[
    str,
    AfterValidator(_build_url_check("redis", "rediss", "unix")),
    ValueType("a URL that starts with redis:// or rediss:// or unix://"),
]
SecretKey = Annotated[str, Field(min_length=32), ValueType("at least 32 characters")]
TextProvider = Annotated[str, AfterValidator(_check_text_provider), ValueType(" or ".join(TEXT_PROVIDERS))]
Home = Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve()), ValueType("a path")]


def _variable(
    name: str,
    default: Any,
    explanation: str,
    *,
    default_text: str | None = None,
    secret: bool = False,
    **constraints: Any,
) -> Any:
    """Declare a setting with its row of the table; `default_text` describes a computed default."""
    is_computed = callable(default)
    text = str(default) if default_text is None else default_text
    return Field(
        **{"default_factory" if is_computed else "default": default},
        validation_alias=name,
        description=explanation,
        repr=not secret,
        json_schema_extra={"default_text": text, "secret": secret},
        **constraints,
    )


def _secret(name: str, explanation: str, *, default_text: str = "") -> Any:
    return _variable(name, "", explanation, default_text=default_text, secret=True)


_GENERATED_TEXT = "generated at the first start"


@dataclass(frozen=True)
class SandboxSecrets:
    """The keys that sign the sandbox's webhooks. Webhooks are neither signed nor accepted with an empty one."""

    mailgun: str = field(default="", repr=False)
    meta: str = field(default="", repr=False)
    #: Both halves of an Ed25519 key, each base64 of 32 bytes.
    telnyx_seed: str = field(default="", repr=False)
    telnyx_public_key: str = ""


_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class _VariablesSource(EnvSettingsSource):
    """The environment over the `.env` file, as one mapping that `_read_variables` made."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self.env_vars = variables


class Settings(BaseSettings):
    """The settings of one process, read from `environ` and the file. An empty string means: not set."""

    model_config = SettingsConfigDict(
        frozen=True, case_sensitive=True, enable_decoding=False, populate_by_name=True, validate_default=False
    )

    home: Home = _variable(
        "BECKON_HOME", (ROOT / "var").resolve(), "Directory of all data of this installation.", default_text="./var"
    )
    host: Text = _variable(
        "BECKON_HOST",
        "127.0.0.1",
        "Address that the dashboard listens on; the sandbox only listens on 127.0.0.1.",
    )
    port: Port = _variable("BECKON_PORT", 8080, "Port of the dashboard, API and webhooks.")
    url: HttpUrl = _variable(
        "BECKON_URL",
        lambda values: f"http://{_choose_connect_host(values['host'])}:{values['port']}",
        "Public URL of Beckon for users and providers, if it is behind a proxy.",
        default_text="http://BECKON_HOST:BECKON_PORT",
    )
    trusted_proxies: Networks = _variable(
        "BECKON_TRUSTED_PROXIES",
        (),
        "Addresses of reverse proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are trusted.",
        default_text="",
    )
    allowed_hosts: Hosts = _variable(
        "BECKON_ALLOWED_HOSTS",
        (),
        "Hosts that requests may name, in addition to `BECKON_URL`'s; others get 421.",
        default_text="localhost,127.0.0.1,[::1],BECKON_HOST",
    )
    workers: int = _variable(
        "BECKON_WORKERS",
        min(4, os.cpu_count() or 2),
        "Processes of the engine.",
        default_text="one for each processor, at most 4",
        ge=1,
        le=256,
    )
    threads: int = _variable(
        "BECKON_THREADS", 8, "Threads of the pools `executions` and `tracking`, for each process.", ge=1, le=512
    )
    io_threads: int = _variable(
        "BECKON_IO_THREADS",
        32,
        "Threads of each of the pools `generation` and `sending`, for each process.",
        ge=1,
        le=512,
    )
    web_workers: int = _variable(
        "BECKON_WEB_WORKERS",
        2,
        "Web processes of the dashboard; they share one port and what they loaded.",
        ge=1,
        le=64,
    )
    watchers: int = _variable(
        "BECKON_WATCHERS",
        2000,
        "Event streams that may be open at once in one web process; further ones are rejected with a time to wait.",
        ge=1,
        le=4500,
    )
    lease_seconds: int = _variable(
        "BECKON_LEASE_SECONDS",
        30,
        "Seconds after which the lease of a dead worker expires and its executions are requeued.",
        ge=3,
        le=3600,
    )
    disk_reserve_mb: int = _variable(
        "BECKON_DISK_RESERVE_MB",
        1000,
        "Free space on the disk of BECKON_HOME, in MB, below which Health warns.",
        ge=0,
        le=100_000_000,
    )
    demo: Switch = _variable("BECKON_DEMO", True, "Create the workspace `demo` at the first start.", default_text="1")
    clock_offset: Seconds = _variable(
        "BECKON_CLOCK_OFFSET",
        0.0,
        "Seconds that Beckon's clock is ahead of real time, for tests.",
        default_text="0",
    )
    sandbox: Literal["auto", "off"] = _variable(
        "BECKON_SANDBOX",
        "auto",
        "`auto`: tests, and the demo workspace for providers without a key, use the sandbox; `off`: none do.",
    )
    sandbox_port: Port = _variable(
        "BECKON_SANDBOX_PORT",
        lambda values: compute_sandbox_port(values["port"]),
        "Port of the sandbox. If the default is in use, a free port is chosen; see `sandboxUrl` in `access.json`.",
        default_text="BECKON_PORT + 10000",
    )
    metrics_networks: Networks = _variable(
        "BECKON_METRICS_NETWORKS",
        _LOOPBACK,
        "Networks that may read `/metrics`.",
        default_text="127.0.0.0/8,::1/128",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _variable(
        "BECKON_LOG_LEVEL", "INFO", "Minimum level of log lines."
    )
    otlp_endpoint: HttpUrl = _variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "", "Base URL of a collector for OpenTelemetry traces (OTLP over HTTP)."
    )

    trigger_rate: Rate = _variable("BECKON_TRIGGER_RATE", 5_000, "Triggers per second for each key.")
    trigger_burst: Rate = _variable("BECKON_TRIGGER_BURST", 20_000, "Triggers at once for each key.")
    track_rate: Rate = _variable("BECKON_TRACK_RATE", 10_000, "Tracked executions per second for each key.")
    track_burst: Rate = _variable("BECKON_TRACK_BURST", 50_000, "Tracked executions at once for each key.")
    site_key_rate: Rate = _variable("BECKON_SITE_KEY_RATE", 20, "Requests per second with a site key from one address.")
    sign_in_rate: Rate = _variable("BECKON_SIGN_IN_RATE", 5, "Sign-in attempts per minute from one address.")

    database_url: PostgresUrl = _secret(
        "DATABASE_URL",
        "The owner's connection to PostgreSQL (16 or newer), without a pooler. If set, the embedded "
        "server is not started.",
        default_text="the embedded server",
    )
    database_app_url: PostgresUrl = _secret(
        "DATABASE_APP_URL",
        "The dashboard's connection: `beckon_app` or a member of it.",
        default_text="DATABASE_URL, acting as beckon_app",
    )
    database_service_url: PostgresUrl = _secret(
        "DATABASE_SERVICE_URL",
        "The workers' connection: `beckon_service` or a member of it.",
        default_text="DATABASE_URL, acting as beckon_service",
    )
    redis_url: RedisUrl = _secret(
        "REDIS_URL",
        "Redis (6.2 or newer, `noeviction`): the broker uses the database of the URL (default 0), "
        "everything else the next one. If set, the embedded server is not started.",
        default_text="the embedded server",
    )
    secret_key: SecretKey = _secret(
        "SECRET_KEY",
        "Signs sessions and encrypts stored credentials: at least 32 characters.",
        default_text=_GENERATED_TEXT,
    )

    mailgun_api_key: Text = _secret("MAILGUN_API_KEY", "Mailgun API key, for e-mail.")
    mailgun_domain: Text = _variable("MAILGUN_DOMAIN", "", "Mailgun domain that sends e-mail.")
    mailgun_from: Text = _variable("MAILGUN_FROM", "", "Default sender of e-mail.")
    mailgun_webhook_signing_key: Text = _secret("MAILGUN_WEBHOOK_SIGNING_KEY", "Verifies Mailgun's webhooks.")
    mailgun_base_url: HttpUrl = _variable(
        "MAILGUN_BASE_URL", "https://api.mailgun.net", "Mailgun API base URL; the EU region has its own."
    )
    telnyx_api_key: Text = _secret("TELNYX_API_KEY", "Telnyx API key, for SMS.")
    telnyx_messaging_profile_id: Text = _variable(
        "TELNYX_MESSAGING_PROFILE_ID", "", "Telnyx messaging profile that selects the sender."
    )
    telnyx_public_key: Text = _variable("TELNYX_PUBLIC_KEY", "", "Verifies Telnyx's webhooks (Ed25519, base64).")
    telnyx_base_url: HttpUrl = _variable("TELNYX_BASE_URL", "https://api.telnyx.com/v2", "Telnyx API base URL.")
    meta_app_secret: Text = _secret(
        "META_APP_SECRET", "Verifies Meta's webhooks; separate the secrets of several apps with commas."
    )
    meta_verify_token: Text = _secret(
        "META_VERIFY_TOKEN", "Verify token of Meta's webhook subscription.", default_text=_GENERATED_TEXT
    )
    meta_page_access_token: Text = _secret(
        "META_PAGE_ACCESS_TOKEN", "Access token for Facebook and Instagram messages."
    )
    meta_base_url: HttpUrl = _variable(
        "META_BASE_URL", "https://graph.facebook.com/v25.0", "Meta Graph API base URL, with its version."
    )
    meta_page_rate: Rate = _variable(
        "BECKON_META_PAGE_RATE", 40, "Direct messages and replies per second from one page or Instagram account."
    )
    meta_thread_rate: Rate = _variable(
        "BECKON_META_THREAD_RATE", 60, "Direct messages per minute to one person on one of Meta's channels."
    )
    gemini_api_key: Text = _secret("GEMINI_API_KEY", "Gemini API key, for text generation.")
    gemini_model: Text = _variable("GEMINI_MODEL", "gemini-2.5-flash", "Default Gemini model.")
    gemini_base_url: HttpUrl = _variable(
        "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com/v1beta", "Gemini API base URL."
    )
    ai_provider: TextProvider = _variable(
        "BECKON_AI_PROVIDER",
        "",
        "AI provider of steps that name neither a provider nor a model.",
        default_text="openai if only that is configured, else gemini",
    )
    openai_api_key: Text = _secret("OPENAI_API_KEY", "API key of OpenAI or a compatible API, for text generation.")
    openai_model: Text = _variable("OPENAI_MODEL", "gpt-4.1-mini", "Default OpenAI model.")
    openai_base_url: HttpUrl = _variable(
        "OPENAI_BASE_URL", "https://api.openai.com/v1", "API base URL of OpenAI or a compatible API."
    )
    slack_webhook_url: HttpUrl = _secret("SLACK_WEBHOOK_URL", "Slack webhook for notices.")
    discord_webhook_url: HttpUrl = _secret("DISCORD_WEBHOOK_URL", "Discord webhook for notices.")
    webhook_allowed_networks: Networks = _variable(
        "WEBHOOK_ALLOWED_NETWORKS",
        (),
        "Private networks that `call_webhook`, notices and a workspace's own model may reach.",
        default_text="",
    )

    run_tracking: Override = _variable(
        "RUN_TRACKING",
        None,
        "Overrides every workspace's switch: count runs.",
        default_text="each workspace's",
    )
    stats_in_api: Override = _variable(
        "STATS_IN_API",
        None,
        "Overrides every workspace's switch: statistics in the API's lists.",
        default_text="each workspace's",
    )
    execution_tracking: Override = _variable(
        "EXECUTION_TRACKING",
        None,
        "Overrides every workspace's switch: record playbooks.",
        default_text="each workspace's",
    )

    #: Whether `beckon up` starts the servers itself. Computed, not variables.
    embedded_database: bool = True
    embedded_redis: bool = True
    #: Whether the sandbox's port is set explicitly; a default port is only the first one tried.
    sandbox_port_explicit: bool = False
    #: The keys that sign the sandbox's webhooks, generated at the first start; never a provider's own secret.
    sandbox_secrets: SandboxSecrets = Field(default=SandboxSecrets(), repr=False)

    def __init__(self, environ: Mapping[str, str], env_file: Path) -> None:
        super().__init__(environ=environ, env_file=env_file)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in their order of precedence: variables, then what the first start generated."""
        inputs = cast(InitSettingsSource, init_settings).init_kwargs
        variables = _read_variables(**inputs)
        return (
            _VariablesSource(settings_cls, variables),
            InitSettingsSource(settings_cls, init_kwargs=_compute_values(variables)),
        )

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values."""
        return self.model_copy(update=changes)

    @property
    def run(self) -> Path:
        """The short directory of this installation's sockets: a socket's path is limited to 107 bytes."""
        return locate_run_directory(self.home)

    @property
    def dropped_log_lines(self) -> Path:
        """The file in which supervisord counts the log lines that the disk did not take."""
        return self.home / "metrics" / "dropped_log_lines"

    @property
    def local_url(self) -> str:
        """The dashboard's URL on this machine, without any proxy."""
        return f"http://{_choose_connect_host(self.host)}:{self.port}"

    @property
    def served_hosts(self) -> frozenset[str]:
        """The hosts that requests may name, in their normal form.

        They always include those of `BECKON_URL`, for users and providers, and of `local_url`, for this installation's
        own programs.
        """
        return _build_served_hosts(self.allowed_hosts, self.url, self.local_url, self.host)

    @property
    def meta_app_secrets(self) -> tuple[str, ...]:
        """The secrets that may sign Meta's webhooks: Instagram's own login uses a separate app."""
        return tuple(secret for part in self.meta_app_secret.split(",") if (secret := part.strip()))

    @property
    def broker_url(self) -> str:
        """Redis for dramatiq's queues: the database that `REDIS_URL` names."""
        return self.redis_url

    @property
    def ephemeral_url(self) -> str:
        """Redis for caches, limits and heartbeats: the database after the broker's."""
        return _build_next_redis_url(self.redis_url)

    @property
    def sandbox_url(self) -> str:
        """The sandbox's URL, always on loopback."""
        return f"http://127.0.0.1:{self.sandbox_port}"


def _describe_type(field_info: FieldInfo) -> ValueType:
    """Describe a field's type: its own description, else its options or its range."""
    for described in field_info.metadata:
        if isinstance(described, ValueType):
            return described
    if options := get_args(field_info.annotation):
        return ValueType(" or ".join(options))
    limits = {name: getattr(item, name) for item in field_info.metadata for name in ("ge", "le") if hasattr(item, name)}
    return ValueType(f"a whole number from {limits['ge']} to {limits['le']}")


def _build_variable(attribute: str, field_info: FieldInfo) -> Variable:
    row = cast(dict[str, Any], field_info.json_schema_extra)
    return Variable(
        name=cast(str, field_info.validation_alias),
        attribute=attribute,
        kind=_describe_type(field_info),
        default_text=row["default_text"],
        explanation=field_info.description or "",
        secret=row["secret"],
    )


#: Every variable, in the order of the documentation.
VARIABLES: tuple[Variable, ...] = tuple(
    _build_variable(attribute, field_info)
    for attribute, field_info in Settings.model_fields.items()
    if field_info.validation_alias is not None
)


def locate_run_directory(home: Path) -> Path:
    """Return the directory of a home's sockets, the same for every process and shell."""
    shared = Path("/tmp") if os.path.isdir("/tmp") else Path(tempfile.gettempdir())
    digest = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    return shared / f"beckon-{os.getuid()}-{digest}"


@functools.lru_cache(maxsize=16)
def _build_served_hosts(allowed: tuple[str, ...], url: str, local_url: str, bound: str) -> frozenset[str]:
    hosts = allowed or ("localhost", "127.0.0.1", "[::1]", _parse_host(f"http://{_add_brackets(bound)}"))
    return frozenset(host for host in (*hosts, _parse_host(url), _parse_host(local_url)) if host)


def _choose_connect_host(host: str) -> str:
    """Return the address to connect to for a listening address."""
    if host in ("0.0.0.0", "", "*"):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _build_next_redis_url(url: str) -> str:
    if url.startswith("unix:") or "db=" in url:
        number = re.search(r"[?&]db=(\d+)", url)
        if number is None:
            return f"{url}{'&' if '?' in url else '?'}db=1"
        return f"{url[: number.start(1)]}{int(number[1]) + 1}{url[number.end(1) :]}"
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + 1}"))


_ENV_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a `.env` file: `NAME=value` lines, without quotes around a value and `#` lines."""
    if not path.is_file():
        return {}
    variables: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ENV_LINE.match(line)
        if match is None:
            raise SettingsError(f"{path}, line {number}: expected NAME=value")
        name, value = match.groups()
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        variables[name] = value[1:-1] if quoted else value
    return variables


def _reject_unknown(variables: Mapping[str, str]) -> None:
    names = {variable.name for variable in VARIABLES}
    for name in sorted(variables):
        if not name.startswith("BECKON_") or name in names or name in INTERNAL:
            continue
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{name} is not a setting of Beckon; the nearest one is {nearest}")


def _build_error(error: ValidationError, variables: Mapping[str, str]) -> SettingsError:
    """Return our own error for the first invalid value, by its variable."""
    first = error.errors(include_url=False, include_context=False)[0]
    variable = next(row for row in VARIABLES if first["loc"][0] in (row.name, row.attribute))
    received = "a secret that is not shown" if variable.secret else repr(variables.get(variable.name, first["input"]))
    return SettingsError(f"{variable.name}: expected {variable.kind.expected}, got {received}")


def _read_generated(home: Path) -> dict[str, Any]:
    """Return the values that the first start of this home generated; empty before it."""
    path = home / "kept.json"
    try:
        generated = load_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"BECKON_HOME: {path} cannot be read: {error}") from None
    return dict(generated)


def _read_variables(environ: Mapping[str, str], env_file: Path) -> dict[str, str]:
    """Return the variables that are set; an empty one counts as not set, and hides the file's."""
    variables = {**read_env_file(env_file), **environ}
    _reject_unknown(variables)
    return {row.name: text for row in VARIABLES if (text := variables.get(row.name, "").strip())}


def _compute_values(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of lower precedence: of the embedded servers, and those generated at the first start."""
    home = Path(variables.get("BECKON_HOME", _locate_files() / "var")).expanduser().resolve()
    run, generated = locate_run_directory(home), _read_generated(home)
    values: dict[str, Any] = {name: generated[name] for name in GENERATED_SETTINGS if name in generated}
    values["home"] = home
    for attribute, role in DATABASE_ROLES.items():
        values[attribute] = variables.get("DATABASE_URL") or _build_embedded_url(run, role, generated)
    values["redis_url"] = f"unix://{run}/redis.sock?db=0"
    # The programs of `beckon up` get its URL.
    values["embedded_database"] = f"host={run}" in variables.get("DATABASE_URL", f"host={run}")
    values["embedded_redis"] = "REDIS_URL" not in variables
    values["sandbox_port_explicit"] = "BECKON_SANDBOX_PORT" in variables
    values["sandbox_secrets"] = SandboxSecrets(
        **{attribute: str(generated.get(name, "")) for attribute, name in SANDBOX_SECRET_NAMES.items()}
    )
    return values


#: The role of each URL. On the embedded server each role logs in with a password that the first start generates. On
#: another server all URLs default to DATABASE_URL, which comes last here, and act as their role in every transaction.
DATABASE_ROLES = {
    "database_app_url": "beckon_app",
    "database_service_url": "beckon_service",
    "database_url": "beckon",
}


def _build_embedded_url(run: Path, role: str, generated: Mapping[str, Any]) -> str:
    password = generated.get("database_passwords", {}).get(role)
    return f"postgresql://{role}{f':{password}' if password else ''}@/beckon?host={run}"


#: Settings that the first start generates and stores if they are not set.
GENERATED_SETTINGS = ("secret_key", "meta_verify_token", "sandbox_port")
#: The sandbox's secrets by their names in kept.json, unchanged for existing homes.
SANDBOX_SECRET_NAMES = {
    "mailgun": "mailgun_webhook_signing_key",
    "meta": "meta_app_secret",
    "telnyx_seed": "telnyx_webhook_seed",
    "telnyx_public_key": "telnyx_public_key",
}


def compute_sandbox_port(port: int) -> int:
    """Return a port far from the dashboard's, so that installations on neighbouring ports do not collide."""
    return port + 10_000 if port + 10_000 <= 65_535 else port - 10_000


def _locate_files() -> Path:
    """Return the default directory of `var` and `.env`: beside the code, but for an installed copy where it is run."""
    return ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()


def locate_env_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of this process's `.env` file."""
    return Path(environ.get("BECKON_ENV_FILE") or _locate_files() / ".env")


def export_env_file() -> None:
    """Export the variables of `.env` to the environment, for this process's modules and its children."""
    for name, value in read_env_file(locate_env_file()).items():
        os.environ.setdefault(name, value)


def load(environ: Mapping[str, str] = os.environ, dotenv: str | Path | None = None) -> Settings:
    """Return the settings of this process.

    `dotenv` is the file read in addition to `environ`; without it, `BECKON_ENV_FILE` of the environment names the file,
    else it is `.env` beside the code, or in the working directory of an installed copy. Raises SettingsError, one line
    long, for an invalid value.
    """
    env_file = Path(dotenv) if dotenv is not None else locate_env_file(environ)
    try:
        return Settings(environ, env_file)
    except ValidationError as error:
        raise _build_error(error, _read_variables(environ, env_file)) from None


@functools.cache
def current() -> Settings:
    """Return the settings of this process, read once."""
    return load()
