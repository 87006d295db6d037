"""The AI model settings of the workspace over HTTP: readable without the API key, writable by owners."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema

from dashboard.access import Caller, current_settings
from dashboard.api import schemas
from dashboard.bodies import Body, WholeNumber
from dashboard.errors import invalid_request
from dashboard.resource import Resource
from dashboard.responses import success
from models import model_settings as stored
from rules.channels import TEXT_PROVIDERS
from tasks.operators import model_settings as task

model_settings = Resource("model-settings")

TextProvider = Annotated[str, schemas.Choice(TEXT_PROVIDERS)]

_RESPONSE = {
    "provider": schemas.nullable(schemas.TEXT), "model": schemas.nullable(schemas.TEXT),
    "maxTokens": schemas.nullable(schemas.COUNT), "temperature": schemas.nullable(schemas.NUMBER),
    "baseUrl": schemas.nullable(schemas.TEXT), "hasApiKey": schemas.BOOL,
}  # fmt: skip


def _validate_base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must not contain a password, a query or a fragment")
    return text.rstrip("/")


BaseUrl = Annotated[
    str,
    Field(max_length=500),
    AfterValidator(_validate_base_url),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 500,
            "pattern": r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]{0,100}[A-Za-z0-9])?(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~/-]*)?$",
        }
    ),
]


class ModelSettingsUpdate(Body):
    """The fields to change: null uses the environment's value, omitted fields stay. The key cannot be read back."""

    provider: TextProvider | None = None
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    max_tokens: Annotated[WholeNumber, Field(ge=1, le=65_536)] | None = Field(None, alias="maxTokens")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    base_url: BaseUrl | None = Field(None, alias="baseUrl")
    api_key: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[!-~]+$")] | None = Field(
        None, alias="apiKey"
    )

    def to_changes(self) -> dict[str, Any]:
        """The fields of the request, by column name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


@model_settings.api("GET", "/api/settings/model", permission="read", response=_RESPONSE)
def show_model(call: Caller) -> Any:
    """Show the AI model settings; null means the environment's value."""
    return success(**task.serialize(stored.load(call.workspace_id)))


@model_settings.api("PUT", "/api/settings/model", permission="admin", body=ModelSettingsUpdate, response=_RESPONSE)
def change_model(call: Caller, body: ModelSettingsUpdate) -> Any:
    """Change the AI model settings. Workers apply them within seconds; executions waiting for credentials continue."""
    problems = task.find_problems(current_settings(), call.workspace_id, body.to_changes())
    if problems:
        raise invalid_request(problems)
    return success(**task.serialize(task.change(current_settings(), call.workspace_id, body.to_changes(), call.actor)))
