"""A workspace's own credentials, provider by provider: which fields there are, what is set, and changes to them.

Everything is derived from `providers.registry` and the table of settings, so a new provider needs nothing here.
Providers with the same settings, such as Meta's two channels, share one card. `tasks.operators.channel_tests` tries
credentials out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from models import audit, channel_credential, pause
from models.audit import AuditActor
from models.channel_credential import Credentials
from models.database import acting_as
from providers.registry import PROVIDERS, ProviderEntry
from rules.outbound_urls import check_url
from rules.problems import Problem, check_characters, format_unknown
from settings import VARIABLES, Settings
from tasks.runtime.notifications import notify_after_commit
from tasks.steps.workspace_settings import decrypt_all

#: Where a value comes from.
FieldState = Literal["workspace", "environment", "missing"]

MAX_LENGTH = 1_000
#: Only the end of a secret of at least this many characters is display.
_HINT_FROM_LENGTH = 16
_HINT_LENGTH = 4
_MASK = "••••"
_ACRONYMS = frozenset({"API", "ID", "URL"})

_VARIABLES = {variable.name: variable for variable in VARIABLES}


@dataclass(frozen=True)
class ChannelField:
    """One setting of a card. `display` is what people may see of the workspace's own value."""

    name: str
    label: str
    explanation: str
    secret: bool
    required: bool
    state: FieldState
    display: str
    choices: tuple[tuple[str, str], ...]
    changed_at: datetime | None


@dataclass(frozen=True)
class ChannelCard:
    """The settings of the providers that share them; `name` is the first one's."""

    name: str
    entries: tuple[ProviderEntry, ...]
    fields: tuple[ChannelField, ...]

    @property
    def label(self) -> str:
        """The label of all its providers."""
        return " and ".join(entry.label for entry in self.entries)

    @property
    def missing(self) -> list[str]:
        """The required settings that are set nowhere."""
        return [field.name for field in self.fields if field.required and field.state == "missing"]

    @property
    def state(self) -> FieldState:
        """Where the credentials come from: the workspace if any does."""
        if self.missing:
            return "missing"
        return "workspace" if any(field.state == "workspace" for field in self.fields) else "environment"


def list_settings(entry: ProviderEntry) -> tuple[str, ...]:
    """Return the settings of a provider that a workspace may enter."""
    region = (entry.base_url_setting.upper(),) if entry.regions and entry.base_url_setting else ()
    return (*entry.required_settings, *entry.optional_settings, *region, *entry.webhook_settings)


def find_entry(name: str) -> ProviderEntry | None:
    """Return a provider whose credentials a workspace may enter, or None."""
    entry = PROVIDERS.get(name)
    return entry if entry is not None and entry.feature is not None else None


def list_cards(settings: Settings, workspace_id: str) -> list[ChannelCard]:
    """Return every card, in the order of the registry."""
    own = channel_credential.load(workspace_id)
    return [_build_card(settings, own, entries) for entries in _group_entries()]


def find_card(settings: Settings, workspace_id: str, name: str) -> ChannelCard | None:
    """Return the card of a provider, or None where there is none."""
    cards = list_cards(settings, workspace_id)
    return next((card for card in cards if name in (entry.name for entry in card.entries)), None)


def _group_entries() -> Iterator[tuple[ProviderEntry, ...]]:
    groups: dict[tuple[str, ...], list[ProviderEntry]] = {}
    for entry in PROVIDERS.values():
        if find_entry(entry.name):
            groups.setdefault(list_settings(entry), []).append(entry)
    return (tuple(entries) for entries in groups.values())


def _build_card(settings: Settings, own: Credentials, entries: tuple[ProviderEntry, ...]) -> ChannelCard:
    display = _describe_values(settings, own)
    fields = tuple(_build_field(settings, own, display, entries[0], name) for name in list_settings(entries[0]))
    return ChannelCard(entries[0].name, entries, fields)


def _build_field(
    settings: Settings, own: Credentials, display: Mapping[str, str], entry: ProviderEntry, name: str
) -> ChannelField:
    variable = _VARIABLES[name]
    is_set = bool(getattr(settings, variable.attribute))
    state: FieldState = "workspace" if name in display else "environment" if is_set else "missing"
    return ChannelField(
        name=name,
        label=_build_label(name),
        explanation=variable.explanation,
        secret=variable.secret,
        required=name in entry.required_settings,
        state=state,
        display=display.get(name, ""),
        choices=_list_choices(entry, name),
        changed_at=own[name].updated_at if name in display else None,
    )


def _build_label(name: str) -> str:
    """Return the setting's name in words, without the provider: `API key` of MAILGUN_API_KEY."""
    words = [word if word in _ACRONYMS else word.lower() for word in name.split("_")[1:]]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _list_choices(entry: ProviderEntry, name: str) -> tuple[tuple[str, str], ...]:
    return entry.regions if entry.base_url_setting and name == entry.base_url_setting.upper() else ()


def _describe_values(settings: Settings, own: Credentials) -> dict[str, str]:
    """What people may see of the readable values: a masked secret, or any other value in full."""
    values = decrypt_all(settings, own)
    return {name: _MASK + own[name].hint if _VARIABLES[name].secret else text for name, text in values.items()}


def find_problems(
    settings: Settings, workspace_id: str, entry: ProviderEntry, changes: Mapping[str, str | None]
) -> list[Problem]:
    """Return the problems of these changes, by setting; None removes the workspace's value."""
    names = list_settings(entry)
    unknown = [Problem(name, format_unknown("setting", name, names)) for name in changes if name not in names]
    if unknown:
        return unknown
    faults = {name: _find_fault(settings, entry, name, text) for name, text in changes.items() if text is not None}
    problems = [Problem(name, fault) for name, fault in faults.items() if fault]
    return problems or _find_borrowed(merge(settings, workspace_id, changes), entry)


def _find_fault(settings: Settings, entry: ProviderEntry, name: str, text: str) -> str | None:
    if not text.strip() or text != text.strip():
        return "must not be empty, nor begin or end with a space"
    if len(text) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters"
    if check_characters(text) or not text.isprintable() or (_VARIABLES[name].secret and " " in text):
        return "contains characters that are not allowed here"
    choices = [value for value, _ in _list_choices(entry, name)]
    if choices and text not in choices:
        return format_unknown("address", text, choices)
    return _find_type_fault(settings, name, text)


def _find_type_fault(settings: Settings, name: str, text: str) -> str | None:
    variable = _VARIABLES[name]
    declared = Settings.model_fields[variable.attribute]
    try:
        TypeAdapter(cast(Any, Annotated[declared.annotation, *declared.metadata])).validate_python(text)
    except ValidationError:
        return f"must be {variable.kind.expected}"
    is_url = "URL" in variable.kind.expected
    return check_url(text, settings.webhook_allowed_networks) if is_url else None


def _find_borrowed(merged: Mapping[str, str], entry: ProviderEntry) -> list[Problem]:
    """A domain or a profile of the workspace needs a key of the workspace: the environment's key may open others'."""
    secrets = [name for name in entry.required_settings if _VARIABLES[name].secret]
    lacking = [name for name in secrets if name not in merged]
    own_names = [name for name in entry.required_settings if name not in secrets and name in merged]
    return [Problem(name, f"needs the workspace's own {' and '.join(lacking)}") for name in own_names if lacking]


def merge(settings: Settings, workspace_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the workspace's own values as they are after these changes."""
    own = decrypt_all(settings, channel_credential.load(workspace_id))
    return {name: text for name, text in {**own, **changes}.items() if text is not None}


def change(
    settings: Settings,
    workspace_id: str,
    entry: ProviderEntry,
    changes: Mapping[str, str | None],
    actor: AuditActor,
) -> None:
    """Store the changes; executions that wait for credentials of the provider continue at once.

    The audit log has masked values before and after, never a secret.
    """
    hints = {name: _build_hint(text) for name, text in changes.items() if text and _VARIABLES[name].secret}
    with acting_as(workspace_id):
        before = _describe_values(settings, channel_credential.load(workspace_id))
        channel_credential.change(workspace_id, changes, hints, settings.secret_key)
        after = _describe_values(settings, channel_credential.load(workspace_id))
        detail = {side: {name: values.get(name) for name in changes} for side, values in _sides(before, after)}
        audit.record(workspace_id, actor, "channel.changed", "channel", entry.name, detail)
        for provider in _list_sharing(entry):
            notify_after_commit(pause.resume_after_credentials(provider, workspace_id))
    channel_credential.load_cached.forget(workspace_id)


def _sides(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    return iter((("before", before), ("after", after)))


def _list_sharing(entry: ProviderEntry) -> list[str]:
    group = next(entries for entries in _group_entries() if entry in entries)
    return [member.name for member in group]


def _build_hint(text: str) -> str:
    return text[-_HINT_LENGTH:] if len(text) >= _HINT_FROM_LENGTH else ""


def serialize(card: ChannelCard, url: str, workspace_id: str) -> dict[str, Any]:
    """Serialize a card for programs, without any secret."""
    entry = card.entries[0]
    return {
        "provider": card.name,
        "providers": [shared.name for shared in card.entries],
        "label": card.label,
        "state": card.state,
        "missing": card.missing,
        "settings": [
            {
                "name": field.name,
                "secret": field.secret,
                "required": field.required,
                "state": field.state,
                "value": field.display or None,
                "choices": [value for value, _ in field.choices],
                "changedAt": field.changed_at,
            }
            for field in card.fields
        ],
        "webhooks": [{"label": label, "url": f"{url}{path}/{workspace_id}"} for path, label in entry.webhook_paths],
        "guide": {"url": entry.guide.url, "text": entry.guide.text} if entry.guide else None,
    }
