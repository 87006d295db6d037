"""The workspace's own credentials at providers over HTTP: secrets can be written and tested, never read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, WithJsonSchema

from dashboard.access import Caller, consume_channel_test_limit, current_settings
from dashboard.api import schemas
from dashboard.api.request_schemas import TEXT_PATTERN
from dashboard.bodies import Body, ShortText
from dashboard.errors import invalid_request, not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from providers.registry import PROVIDERS, ProviderEntry
from rules.problems import Problem
from tasks.operators import channel_credentials as task
from tasks.operators import channel_tests
from tasks.operators.channel_credentials import MAX_LENGTH
from tasks.operators.channel_tests import ChannelTest

channels = Resource("channels")

_SETTING = schemas.record(
    name=schemas.TEXT, secret=schemas.BOOL, required=schemas.BOOL, state=schemas.TEXT,
    value=schemas.nullable(schemas.TEXT), choices=schemas.array_of(schemas.TEXT),
    changedAt=schemas.nullable(schemas.TIME),
)  # fmt: skip
_CHANNEL = schemas.record(
    provider=schemas.TEXT, providers=schemas.array_of(schemas.TEXT), label=schemas.TEXT, state=schemas.TEXT,
    missing=schemas.array_of(schemas.TEXT), settings=schemas.array_of(_SETTING),
    webhooks=schemas.array_of(schemas.record(label=schemas.TEXT, url=schemas.TEXT)),
    guide=schemas.record(url=schemas.TEXT, text=schemas.TEXT),
)  # fmt: skip

_PARTS = {"provider": schemas.one_of(name for name, entry in PROVIDERS.items() if entry.feature is not None)}

SettingText = Annotated[str, StringConstraints(max_length=MAX_LENGTH)]
SettingValues = Annotated[
    dict[ShortText, SettingText | None],
    Field(max_length=20),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 20,
            "propertyNames": {"pattern": r"^[^\x00-\x1f\x7f]+$", "maxLength": 200},
            "additionalProperties": {"type": ["string", "null"], "maxLength": MAX_LENGTH, "pattern": TEXT_PATTERN},
        }
    ),
]


class ChannelUpdate(Body):
    """Settings by name: null removes the workspace's value, and the environment's applies; omitted ones stay."""

    settings: SettingValues


class ChannelTestRequest(Body):
    """The address for an e-mail or an SMS, and settings to test in place of the stored ones."""

    to: ShortText | None = None
    settings: SettingValues = Field(default_factory=dict)


@channels.api("GET", "/api/settings/channels", permission="admin", response={"channels": schemas.array_of(_CHANNEL)})
def list_channels(call: Caller) -> Any:
    """List the providers with their settings, without secrets."""
    config = current_settings()
    cards = task.list_cards(config, call.workspace_id)
    return success(channels=[task.serialize(card, config.url, call.workspace_id) for card in cards])


@channels.api(
    "GET", "/api/settings/channels/{provider}", permission="admin", response={"channel": _CHANNEL}, parts=_PARTS
)
def show_channel(call: Caller, provider: str) -> Any:
    """Show the settings of a provider, without secrets."""
    require_entry(provider)
    return _build_response(call, provider)


@channels.api(
    "PUT",
    "/api/settings/channels/{provider}",
    permission="admin",
    body=ChannelUpdate,
    response={"channel": _CHANNEL},
    parts=_PARTS,
)
def change_channel(call: Caller, provider: str, body: ChannelUpdate) -> Any:
    """Change the workspace's own settings of a provider. Messages that wait for its credentials continue at once."""
    change(call, require_entry(provider), body.settings)
    return _build_response(call, provider)


@channels.api(
    "POST",
    "/api/settings/channels/{provider}/test",
    permission="admin",
    body=ChannelTestRequest,
    parts=_PARTS,
    response={
        "passed": schemas.BOOL, "sandbox": schemas.BOOL, "message": schemas.TEXT,
        "errorClass": schemas.nullable(schemas.TEXT), "code": schemas.nullable(schemas.TEXT),
    },
)  # fmt: skip
def test_channel(call: Caller, provider: str, body: ChannelTestRequest) -> Any:
    """Make one real call with the stored settings and those of the body, which are not stored."""
    result = run_test(call, require_entry(provider), body.settings, body.to)
    return success(**to_api_fields(vars(result)))


def require_entry(provider: str) -> ProviderEntry:
    """The provider, where a workspace may enter its credentials. Raises `ProblemError` 404."""
    entry = task.find_entry(provider)
    if entry is None:
        raise not_found("There is no provider with that name.")
    return entry


def change(call: Caller, entry: ProviderEntry, settings: dict[str, str | None]) -> None:
    """Change the workspace's settings. Raises `ProblemError` 422."""
    problems = task.find_problems(current_settings(), call.workspace_id, entry, settings)
    if problems:
        raise invalid_request(_place(problems))
    if settings:
        task.change(current_settings(), call.workspace_id, entry, settings, call.actor)


def run_test(call: Caller, entry: ProviderEntry, settings: dict[str, str | None], to: str | None) -> ChannelTest:
    """Test the credentials. Raises `ProblemError` 422, and 429 above the limit."""
    problems = task.find_problems(current_settings(), call.workspace_id, entry, settings)
    problems = _place(problems) + channel_tests.find_address_problems(entry, to)
    if problems:
        raise invalid_request(problems)
    consume_channel_test_limit(call.workspace_id)
    return channel_tests.run_test(current_settings(), call.workspace_id, entry, settings, to, call.actor)


def _place(problems: list[Problem]) -> list[Problem]:
    return [Problem(f"settings.{problem.path}", problem.message) for problem in problems]


def _build_response(call: Caller, provider: str) -> Any:
    config = current_settings()
    card = task.find_card(config, call.workspace_id, provider)
    assert card is not None, "every provider of an entry has a card"
    return success(channel=task.serialize(card, config.url, call.workspace_id))
