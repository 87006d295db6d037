"""Every setting of Beckon, declared once with its variable, type, default and purpose; one frozen `Settings`.

`load()` reads the environment, then a `.env` file (the environment wins), then the values that the first start
generated and stored in `BECKON_HOME`. An invalid value raises `SettingsError` with one line: the variable, the expected
value and the one received. An unknown `BECKON_` name is rejected with the nearest known one. Secrets are never shown.

`VARIABLES` is the table behind `beckon doctor` and `docs/operating.md`. This module contacts no server and reads only
those two files.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from rules.channels import TEXT_PROVIDERS

#: The directory that the programs run in.
ROOT = Path(__file__).resolve().parent

#: Set by `beckon up` for its own child processes; internal, not settings.
INTERNAL = frozenset(
    {"BECKON_ENV_FILE", "BECKON_GUARD", "BECKON_POSTGRES", "BECKON_PYTHON", "BECKON_REDIS", "BECKON_RUN", "BECKON_SLOT"}
)

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


class SettingsError(Exception):
    """The configuration cannot be used; the message is one line that names the variable."""


@dataclass(frozen=True)
class ValueType:
    """A type of value: `read` parses a variable's text and raises ValueError if it is not `expected`."""

    expected: str
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Variable:
    """One row of the table: an environment variable and the field of `Settings` that it sets."""

    name: str
    attribute: str
    kind: ValueType
    default: Any
    default_text: str
    explanation: str
    secret: bool


def _integer_type(minimum: int, maximum: int) -> ValueType:
    def read(text: str) -> int:
        number = int(text)
        if not minimum <= number <= maximum:
            raise ValueError(text)
        return number

    return ValueType(f"a whole number from {minimum} to {maximum}", read)


def _choice_type(*options: str) -> ValueType:
    def read(text: str) -> str:
        if text not in options:
            raise ValueError(text)
        return text

    return ValueType(" or ".join(options), read)


def _read_switch(text: str) -> bool:
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _read_networks(text: str) -> Networks:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


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


def _read_hosts(text: str) -> tuple[str, ...]:
    return tuple(normalise_host(_add_brackets(part.strip())) for part in text.split(",") if part.strip())


def _parse_host(url: str) -> str | None:
    """Return a URL's host in its normal form; None if it has no valid host."""
    try:
        return normalise_host(_add_brackets(urlsplit(url).hostname or ""))
    except ValueError:
        return None


def _url_type(*schemes: str) -> ValueType:
    def read(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not (parts.netloc or parts.query or parts.path.strip("/")):
            raise ValueError(text)
        return text.rstrip("/")

    return ValueType(f"a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}", read)


def _read_seconds(text: str) -> float:
    seconds = float(text)
    if not abs(seconds) <= 100 * 365 * 86_400:
        raise ValueError(text)
    return seconds


def _read_secret_key(text: str) -> str:
    if len(text) < 32:
        raise ValueError("too short")
    return text


TEXT = ValueType("text", str)
PATH = ValueType("a path", Path)
SWITCH = ValueType("1 or 0", _read_switch)
NETWORKS = ValueType("networks such as 10.0.0.0/8, separated by commas", _read_networks)
HOSTS = ValueType("host names or addresses without a port, separated by commas", _read_hosts)
HTTP = _url_type("http", "https")
POSTGRES = _url_type("postgresql", "postgres")
REDIS = _url_type("redis", "rediss", "unix")
SECONDS = ValueType("a number of seconds", _read_seconds)
RATE = _integer_type(1, 1_000_000)


def _variable(
    name: str, kind: ValueType, default: Any, explanation: str, *, default_text: str | None = None, secret: bool = False
) -> Any:
    """Declare a setting as a dataclass field with its row of the table; `default_text` describes a computed default."""
    row = {"name": name, "kind": kind, "explanation": explanation, "default_text": default_text, "secret": secret}
    return field(default=default, repr=not secret, metadata=row)


def _secret(name: str, explanation: str, *, default_text: str = "", kind: ValueType = TEXT) -> Any:
    return _variable(name, kind, "", explanation, default_text=default_text, secret=True)


_GENERATED_TEXT = "generated at the first start"


@dataclass(frozen=True)
class SandboxSecrets:
    """The keys that sign the sandbox's webhooks. Webhooks are neither signed nor accepted with an empty one."""

    mailgun: str = field(default="", repr=False)
    meta: str = field(default="", repr=False)
    #: Both halves of an Ed25519 key, each base64 of 32 bytes.
    telnyx_seed: str = field(default="", repr=False)
    telnyx_public_key: str = ""


_LOOPBACK = _read_networks("127.0.0.0/8,::1/128")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. An empty string means: not set."""

    home: Path = _variable(
        "BECKON_HOME", PATH, ROOT / "var", "Directory of all data of this installation.", default_text="./var"
    )
    host: str = _variable(
        "BECKON_HOST",
        TEXT,
        "127.0.0.1",
        "Address that the dashboard listens on; the sandbox only listens on 127.0.0.1.",
    )
    port: int = _variable("BECKON_PORT", _integer_type(1, 65_535), 8080, "Port of the dashboard, API and webhooks.")
    url: str = _variable(
        "BECKON_URL",
        HTTP,
        "",
        "Public URL of Beckon for users and providers, if it is behind a proxy.",
        default_text="http://BECKON_HOST:BECKON_PORT",
    )
    trusted_proxies: Networks = _variable(
        "BECKON_TRUSTED_PROXIES",
        NETWORKS,
        (),
        "Addresses of reverse proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are trusted.",
        default_text="",
    )
    allowed_hosts: tuple[str, ...] = _variable(
        "BECKON_ALLOWED_HOSTS",
        HOSTS,
        (),
        "Hosts that requests may name, in addition to `BECKON_URL`'s; others get 421.",
        default_text="localhost,127.0.0.1,[::1],BECKON_HOST",
    )
    workers: int = _variable(
        "BECKON_WORKERS",
        _integer_type(1, 256),
        max(1, (os.cpu_count() or 2) // 2),
        "Processes of each worker program.",
        default_text="one for every two processors",
    )
    threads: int = _variable(
        "BECKON_THREADS", _integer_type(1, 512), 8, "Threads in each process of the executions and tracking programs."
    )
    io_threads: int = _variable(
        "BECKON_IO_THREADS",
        _integer_type(1, 512),
        32,
        "Threads in each process of the generation and sending programs.",
    )
    watchers: int = _variable(
        "BECKON_WATCHERS",
        _integer_type(1, 4500),
        2000,
        "Event streams that may be open at once; further ones are rejected with a time to wait.",
    )
    lease_seconds: int = _variable(
        "BECKON_LEASE_SECONDS",
        _integer_type(3, 3600),
        30,
        "Seconds after which the lease of a dead worker expires and its executions are requeued.",
    )
    demo: bool = _variable(
        "BECKON_DEMO", SWITCH, True, "Create the workspace `demo` at the first start.", default_text="1"
    )
    clock_offset: float = _variable(
        "BECKON_CLOCK_OFFSET",
        SECONDS,
        0.0,
        "Seconds that Beckon's clock is ahead of real time, for tests.",
        default_text="0",
    )
    sandbox: str = _variable(
        "BECKON_SANDBOX",
        _choice_type("auto", "off"),
        "auto",
        "`auto`: tests, and the demo workspace for providers without a key, use the sandbox; `off`: none do.",
    )
    sandbox_port: int = _variable(
        "BECKON_SANDBOX_PORT",
        _integer_type(1, 65_535),
        0,
        "Port of the sandbox. If the default is in use, a free port is chosen; see `sandboxUrl` in `access.json`.",
        default_text="BECKON_PORT + 10000",
    )
    metrics_networks: Networks = _variable(
        "BECKON_METRICS_NETWORKS",
        NETWORKS,
        _LOOPBACK,
        "Networks that may read `/metrics`.",
        default_text="127.0.0.0/8,::1/128",
    )
    log_level: str = _variable(
        "BECKON_LOG_LEVEL", _choice_type("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Minimum level of log lines."
    )

    trigger_rate: int = _variable("BECKON_TRIGGER_RATE", RATE, 5_000, "Triggers per second for each key.")
    trigger_burst: int = _variable("BECKON_TRIGGER_BURST", RATE, 20_000, "Triggers at once for each key.")
    track_rate: int = _variable("BECKON_TRACK_RATE", RATE, 10_000, "Tracked executions per second for each key.")
    track_burst: int = _variable("BECKON_TRACK_BURST", RATE, 50_000, "Tracked executions at once for each key.")
    site_key_rate: int = _variable(
        "BECKON_SITE_KEY_RATE", RATE, 20, "Requests per second with a site key from one address."
    )
    sign_in_rate: int = _variable("BECKON_SIGN_IN_RATE", RATE, 5, "Sign-in attempts per minute from one address.")

    database_url: str = _secret(
        "DATABASE_URL", "The owner's connection to PostgreSQL (16 or newer), without a pooler. If set, the embedded "
        "server is not started.",
        default_text="the embedded server", kind=POSTGRES,
    )  # fmt: skip
    database_app_url: str = _secret(
        "DATABASE_APP_URL", "The dashboard's connection: `beckon_app` or a member of it.",
        default_text="DATABASE_URL, acting as beckon_app", kind=POSTGRES,
    )  # fmt: skip
    database_service_url: str = _secret(
        "DATABASE_SERVICE_URL", "The workers' connection: `beckon_service` or a member of it.",
        default_text="DATABASE_URL, acting as beckon_service", kind=POSTGRES,
    )  # fmt: skip
    redis_url: str = _secret(
        "REDIS_URL", "Redis (6.2 or newer, `noeviction`): the broker uses the database of the URL (default 0), "
        "everything else the next one. If set, the embedded server is not started.",
        default_text="the embedded server", kind=REDIS,
    )  # fmt: skip
    secret_key: str = _secret(
        "SECRET_KEY", "Signs sessions and encrypts stored credentials: at least 32 characters.",
        default_text=_GENERATED_TEXT, kind=ValueType("at least 32 characters", _read_secret_key),
    )  # fmt: skip

    mailgun_api_key: str = _secret("MAILGUN_API_KEY", "Mailgun API key, for e-mail.")
    mailgun_domain: str = _variable("MAILGUN_DOMAIN", TEXT, "", "Mailgun domain that sends e-mail.")
    mailgun_from: str = _variable("MAILGUN_FROM", TEXT, "", "Default sender of e-mail.")
    mailgun_webhook_signing_key: str = _secret("MAILGUN_WEBHOOK_SIGNING_KEY", "Verifies Mailgun's webhooks.")
    mailgun_base_url: str = _variable(
        "MAILGUN_BASE_URL", HTTP, "https://api.mailgun.net", "Mailgun API base URL; the EU region has its own."
    )
    telnyx_api_key: str = _secret("TELNYX_API_KEY", "Telnyx API key, for SMS.")
    telnyx_messaging_profile_id: str = _variable(
        "TELNYX_MESSAGING_PROFILE_ID", TEXT, "", "Telnyx messaging profile that selects the sender."
    )
    telnyx_public_key: str = _variable("TELNYX_PUBLIC_KEY", TEXT, "", "Verifies Telnyx's webhooks (Ed25519, base64).")
    telnyx_base_url: str = _variable("TELNYX_BASE_URL", HTTP, "https://api.telnyx.com/v2", "Telnyx API base URL.")
    meta_app_secret: str = _secret(
        "META_APP_SECRET", "Verifies Meta's webhooks; separate the secrets of several apps with commas."
    )
    meta_verify_token: str = _secret(
        "META_VERIFY_TOKEN", "Verify token of Meta's webhook subscription.", default_text=_GENERATED_TEXT
    )
    meta_page_access_token: str = _secret("META_PAGE_ACCESS_TOKEN", "Access token for Facebook and Instagram messages.")
    meta_base_url: str = _variable(
        "META_BASE_URL", HTTP, "https://graph.facebook.com/v25.0", "Meta Graph API base URL, with its version."
    )
    meta_page_rate: int = _variable(
        "BECKON_META_PAGE_RATE", RATE, 40, "Direct messages and replies per second from one page or Instagram account."
    )
    meta_thread_rate: int = _variable(
        "BECKON_META_THREAD_RATE", RATE, 60, "Direct messages per minute to one person on one of Meta's channels."
    )
    gemini_api_key: str = _secret("GEMINI_API_KEY", "Gemini API key, for text generation.")
    gemini_model: str = _variable("GEMINI_MODEL", TEXT, "gemini-2.5-flash", "Default Gemini model.")
    gemini_base_url: str = _variable(
        "GEMINI_BASE_URL", HTTP, "https://generativelanguage.googleapis.com/v1beta", "Gemini API base URL."
    )
    ai_provider: str = _variable(
        "BECKON_AI_PROVIDER",
        _choice_type(*TEXT_PROVIDERS),
        "",
        "AI provider of steps that name neither a provider nor a model.",
        default_text="openai if only that is configured, else gemini",
    )
    openai_api_key: str = _secret("OPENAI_API_KEY", "API key of OpenAI or a compatible API, for text generation.")
    openai_model: str = _variable("OPENAI_MODEL", TEXT, "gpt-4.1-mini", "Default OpenAI model.")
    openai_base_url: str = _variable(
        "OPENAI_BASE_URL", HTTP, "https://api.openai.com/v1", "API base URL of OpenAI or a compatible API."
    )
    slack_webhook_url: str = _secret("SLACK_WEBHOOK_URL", "Slack webhook for notices.", kind=HTTP)
    discord_webhook_url: str = _secret("DISCORD_WEBHOOK_URL", "Discord webhook for notices.", kind=HTTP)
    webhook_allowed_networks: Networks = _variable(
        "WEBHOOK_ALLOWED_NETWORKS",
        NETWORKS,
        (),
        "Private networks that `call_webhook`, notices and a workspace's own model may reach.",
        default_text="",
    )

    run_tracking: bool | None = _variable(
        "RUN_TRACKING",
        SWITCH,
        None,
        "Overrides every workspace's switch: count runs.",
        default_text="each workspace's",
    )
    stats_in_api: bool | None = _variable(
        "STATS_IN_API",
        SWITCH,
        None,
        "Overrides every workspace's switch: statistics in the API's lists.",
        default_text="each workspace's",
    )
    execution_tracking: bool | None = _variable(
        "EXECUTION_TRACKING",
        SWITCH,
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
    sandbox_secrets: SandboxSecrets = field(default=SandboxSecrets(), repr=False)

    @property
    def run(self) -> Path:
        """The short directory of this installation's sockets: a socket's path is limited to 107 bytes."""
        return locate_run_directory(self.home)

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


def _build_variables() -> tuple[Variable, ...]:
    entries = [(field_, field_.metadata) for field_ in fields(Settings) if field_.metadata]
    return tuple(
        Variable(
            name=row["name"],
            attribute=field_.name,
            kind=row["kind"],
            default=field_.default,
            default_text=str(field_.default) if row["default_text"] is None else row["default_text"],
            explanation=row["explanation"],
            secret=row["secret"],
        )
        for field_, row in entries
    )


#: Every variable, in the order of the documentation.
VARIABLES: tuple[Variable, ...] = _build_variables()


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


def _parse_value(variable: Variable, text: str) -> Any:
    try:
        return variable.kind.read(text)
    except ValueError:
        received = "a secret that is not shown" if variable.secret else repr(text)
        raise SettingsError(f"{variable.name}: expected {variable.kind.expected}, got {received}") from None


def _read_generated(home: Path) -> dict[str, Any]:
    """Return the values that the first start of this home generated; empty before it."""
    path = home / "kept.json"
    try:
        generated = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"BECKON_HOME: {path} cannot be read: {error}") from None
    return dict(generated)


def _complete(values: dict[str, Any]) -> dict[str, Any]:
    """Add the values computed from other settings and those generated at the first start."""
    home = values["home"] = Path(values.get("home", _locate_files() / "var")).expanduser().resolve()
    run, generated = locate_run_directory(home), _read_generated(home)
    is_port_explicit = "sandbox_port" in values
    values["embedded_database"] = "database_url" not in values
    values["embedded_redis"] = "redis_url" not in values
    for attribute, role in DATABASE_ROLES.items():
        values.setdefault(attribute, values.get("database_url") or _build_embedded_url(run, role, generated))
    values.setdefault("redis_url", f"unix://{run}/redis.sock?db=0")
    values["sandbox_secrets"] = SandboxSecrets(
        **{attribute: str(generated.get(name, "")) for attribute, name in SANDBOX_SECRET_NAMES.items()}
    )
    for attribute in GENERATED_SETTINGS:
        if attribute in generated:
            values.setdefault(attribute, generated[attribute])
    values["sandbox_port_explicit"] = is_port_explicit
    port = values.get("port", 8080)
    values.setdefault("url", f"http://{_choose_connect_host(values.get('host', '127.0.0.1'))}:{port}")
    values.setdefault("sandbox_port", compute_sandbox_port(port))
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
    path = Path(dotenv) if dotenv is not None else locate_env_file(environ)
    variables = {**read_env_file(path), **environ}
    _reject_unknown(variables)
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        text = variables.get(variable.name, "").strip()
        if text:
            values[variable.attribute] = _parse_value(variable, text)
    return Settings(**_complete(values))


@functools.cache
def current() -> Settings:
    """Return the settings of this process, read once."""
    return load()
