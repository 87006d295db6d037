"""The workspace's sender, delivery policy and retention over HTTP: readable by all, writable by owners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText, WholeNumber
from dashboard.resource import Resource
from dashboard.responses import success
from models import workspace_preferences
from models.checks.execution_retention import KEEP_DAYS, MIN_KEEP_DAYS
from models.checks.retention import PERIODS
from models.checks.text_retention import KEEP_TEXT_DAYS
from models.workspace_preferences import Preferences
from providers.registry import SENDERS
from rules.contacts import normalise_email
from rules.reconciliation import WhenUnknown
from rules.senders import NAME_PATTERN, find_name_fault

preferences = Resource("preferences")

_SENDER = {
    "name": schemas.nullable(schemas.TEXT), "address": schemas.nullable(schemas.TEXT),
    "postalAddress": schemas.nullable(schemas.TEXT), "helpText": schemas.nullable(schemas.TEXT),
}  # fmt: skip
_DELIVERY = {
    "whenUnknown": schemas.nullable(schemas.TEXT),
    "defaults": schemas.record(**dict.fromkeys(SENDERS, schemas.TEXT)),
}
_RETENTION = {
    "keepDays": schemas.nullable(schemas.COUNT), "keepTextDays": schemas.nullable(schemas.COUNT),
    "default": schemas.COUNT, "minimum": schemas.COUNT,
    "periods": schemas.array_of(schemas.record(what=schemas.TEXT, days=schemas.COUNT, adjustable=schemas.BOOL)),
}  # fmt: skip


def _check_name(text: str) -> str:
    fault = find_name_fault(text)
    if fault:
        raise ValueError(fault)
    return text


SenderName = Annotated[
    ShortText,
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200, "pattern": f"^{NAME_PATTERN}$"}),
]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class SenderUpdate(Body):
    """The fields to change: null clears one, omitted ones stay."""

    name: SenderName | None = None
    address: Annotated[ShortText, AfterValidator(normalise_email), WithJsonSchema(schemas.EMAIL)] | None = None
    postal_address: LongText | None = Field(None, alias="postalAddress")
    help_text: LongText | None = Field(None, alias="helpText")


class DeliveryUpdate(Body):
    """The policy for a message of unknown outcome that its look-ups do not find; null takes each provider's default."""

    when_unknown: WhenUnknown | None = Field(alias="whenUnknown")


class RetentionUpdate(Body):
    """The days for which executions with their messages, triggers and received messages are kept, and for which their
    texts are; null: the default. Omitted `keepTextDays` stay."""

    keep_days: Annotated[WholeNumber, Field(ge=MIN_KEEP_DAYS, le=KEEP_DAYS)] | None = Field(alias="keepDays")
    keep_text_days: Annotated[WholeNumber, Field(ge=MIN_KEEP_DAYS, le=KEEP_TEXT_DAYS)] | None = Field(
        None, alias="keepTextDays"
    )


@preferences.api("GET", "/api/settings/sender", permission="read", response=_SENDER)
def show_sender(call: Caller) -> Any:
    """Show the sender identity."""
    return success(**serialize_sender(workspace_preferences.load(call.workspace_id)))


@preferences.api("PUT", "/api/settings/sender", permission="admin", body=SenderUpdate, response=_SENDER)
def change_sender(call: Caller, body: SenderUpdate) -> Any:
    """Change the sender identity."""
    return success(**serialize_sender(save_sender(call, body)))


def save_sender(call: Caller, body: SenderUpdate) -> Preferences:
    """Change the given fields of the sender."""
    columns = {"name": "sender_name", "address": "sender_address"}
    changes = {columns.get(name, name): getattr(body, name) for name in body.model_fields_set}
    return workspace_preferences.change(call.workspace_id, "sender", changes, call.actor)


def serialize_sender(current: Preferences) -> Mapping[str, Any]:
    """The sender with the names of the API."""
    return {
        "name": current.sender_name, "address": current.sender_address, "postalAddress": current.postal_address,
        "helpText": current.help_text,
    }  # fmt: skip


@preferences.api("GET", "/api/settings/delivery", permission="read", response=_DELIVERY)
def show_delivery(call: Caller) -> Any:
    """Show the policy for messages of unknown outcome; null means the default of each provider."""
    return _build_delivery(workspace_preferences.load(call.workspace_id))


@preferences.api("PUT", "/api/settings/delivery", permission="admin", body=DeliveryUpdate, response=_DELIVERY)
def change_delivery(call: Caller, body: DeliveryUpdate) -> Any:
    """Change the policy for messages of unknown outcome."""
    changes = {"when_unknown": body.when_unknown}
    return _build_delivery(workspace_preferences.change(call.workspace_id, "delivery", changes, call.actor))


def _build_delivery(current: Preferences) -> Any:
    return success(whenUnknown=current.when_unknown, defaults=list_default_policies())


def list_default_policies() -> dict[str, WhenUnknown]:
    """What each provider's messages of unknown outcome come to where neither the step nor the workspace says so."""
    return {name: sender.when_unknown for name, sender in SENDERS.items()}


@preferences.api("GET", "/api/settings/retention", permission="read", response=_RETENTION)
def show_retention(call: Caller) -> Any:
    """Show what is kept for how long."""
    return _build_retention(workspace_preferences.load(call.workspace_id))


@preferences.api("PUT", "/api/settings/retention", permission="admin", body=RetentionUpdate, response=_RETENTION)
def change_retention(call: Caller, body: RetentionUpdate) -> Any:
    """Change for how many days the workspace keeps its executions and messages."""
    return _build_retention(save_retention(call, body))


def save_retention(call: Caller, body: RetentionUpdate) -> Preferences:
    """Change the given periods."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return workspace_preferences.change(call.workspace_id, "retention", changes, call.actor)


def _build_retention(current: Preferences) -> Any:
    return success(
        keepDays=current.keep_days, keepTextDays=current.keep_text_days, default=KEEP_DAYS, minimum=MIN_KEEP_DAYS,
        periods=list_periods(current),
    )  # fmt: skip


def list_periods(current: Preferences) -> list[dict[str, Any]]:
    """What is kept for how long in a workspace with these preferences."""
    return [
        {
            "what": period.what,
            "days": (period.setting and getattr(current, period.setting)) or period.days,
            "adjustable": period.setting is not None,
        }
        for period in PERIODS
    ]
