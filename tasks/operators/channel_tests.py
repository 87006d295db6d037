"""Tries credentials out with one real call to their provider, before or after they are saved.

E-mail and SMS go to an address that the person enters, a notice goes to its channel, a model writes one word, and
Meta's token is read, because its messages need a person who has written first. Nothing is stored but the audit entry.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models import audit, workspace
from models.audit import AuditActor
from models.ids import new_id
from providers.base import Account, LeaseLost, OutgoingMessage, Provider
from providers.registry import ProviderEntry
from providers.text_generation import Prompt
from rules.channels import ADDRESS_FIELDS, CHANNELS
from rules.contacts import normalise_email, normalise_phone
from rules.errors import ExecutionError
from rules.problems import Problem
from settings import Settings
from tasks.operators.channel_credentials import merge
from tasks.steps.accounts import resolve_account

#: A person waits for the response: no attempt begins later than this, and its timeouts are shorter than a step's.
DEADLINE_SECONDS = 12.0
_CONNECT_SECONDS, _READ_SECONDS = 3.0, 8.0
#: A thinking model needs some tokens before its first word.
_MAX_TOKENS = 256

_SANDBOX_NOTE = (
    "This demo workspace has no credentials for it, so the call went to the sandbox and did not leave this machine."
)

_READERS: dict[str, Callable[[str], str]] = {"email": normalise_email, "phone": normalise_phone}


@dataclass(frozen=True)
class ChannelTest:
    """The result of a test: whether the provider accepted the call, in words, with the error's class and code."""

    passed: bool
    sandbox: bool
    message: str
    error_class: str | None = None
    code: str | None = None


def find_address_field(entry: ProviderEntry) -> str | None:
    """Return the contact's field, such as `email`, that a test message needs; None where it needs no address."""
    if entry.check is not None:
        return None
    fields = [ADDRESS_FIELDS.get(channel.name) for channel in CHANNELS.values() if channel.provider == entry.name]
    return next((field for field in fields if field in _READERS), None)


def find_address_problems(entry: ProviderEntry, to: str | None) -> list[Problem]:
    """Return what is wrong with the address of a test."""
    field = find_address_field(entry)
    if field is None:
        return []
    if not to:
        return [Problem("to", "is required: where the test message goes")]
    try:
        _READERS[field](to.strip())
    except ValueError as error:
        return [Problem("to", str(error))]
    return []


def run_test(
    settings: Settings,
    workspace_id: str,
    entry: ProviderEntry,
    entered: Mapping[str, str | None],
    to: str | None,
    actor: AuditActor,
) -> ChannelTest:
    """Make one call with the workspace's credentials and the entered ones, which are not stored."""
    own = merge(settings, workspace_id, entered)
    tested = settings.replace(**{name.lower(): text for name, text in own.items()})
    result = _try(tested, workspace_id, entry, to)
    detail = {"passed": result.passed, "sandbox": result.sandbox, "code": result.code}
    audit.record(workspace_id, actor, "channel.tested", "channel", entry.name, detail)
    return result


def _try(settings: Settings, workspace_id: str, entry: ProviderEntry, to: str | None) -> ChannelTest:
    workspace_row = workspace.get(workspace_id)
    assert workspace_row is not None
    is_sandbox = False
    try:
        account = resolve_account(settings, entry.name, workspace_id, test=False, demo=workspace_row["demo"])
        is_sandbox = account.sandbox
        message = _call(settings, account, entry, to, workspace_row["name"])
    except ExecutionError as error:
        # The remedy of a temporary error speaks of the retries of a message.
        note = " This was a test, which is not repeated." if error.retryable else ""
        return ChannelTest(False, is_sandbox, error.message + note, error.error_class, error.provider_code)
    except LeaseLost:
        late = f"{entry.label} did not answer within {DEADLINE_SECONDS:g} s. Nothing was sent."
        return ChannelTest(False, is_sandbox, late, "timeout")
    if is_sandbox:
        message += f" {_SANDBOX_NOTE}"
    return ChannelTest(True, is_sandbox, message)


def _call(settings: Settings, account: Account, entry: ProviderEntry, to: str | None, workspace_name: str) -> str:
    if entry.check is not None:
        return f"{entry.label} accepts the token. It belongs to {entry.check(account)}."
    if entry.generate is not None:
        prompt = Prompt(str(getattr(settings, f"{entry.name}_model")), "Answer with the word OK.", None, _MAX_TOKENS)
        return f"{entry.label} answered with the model {entry.generate(account, prompt).model}."
    assert entry.sender is not None
    address = _read_address(entry, to)
    _with_short_timeouts(entry.sender).send(account, _build_message(address, workspace_name))
    return f"{entry.label} accepted a test message{f' to {address}' if address else ''}."


def _read_address(entry: ProviderEntry, to: str | None) -> str:
    field = find_address_field(entry)
    return _READERS[field]((to or "").strip()) if field else ""


def _with_short_timeouts(sender: Provider) -> Provider:
    hurried = copy.copy(sender)
    hurried.connect_seconds, hurried.read_seconds = _CONNECT_SECONDS, _READ_SECONDS
    return hurried


def _build_message(to: str, workspace_name: str) -> OutgoingMessage:
    deadline = time.monotonic() + DEADLINE_SECONDS
    name = " ".join(workspace_name.split())
    return OutgoingMessage(
        key=f"test-{new_id()}",
        to=to,
        subject=f"Test message from {name}",
        body=f"This is a test message of the workspace {name} on Beckon. The credentials work.",
        holds_lease=lambda: time.monotonic() < deadline,
    )
