"""The workspace's switches over HTTP: read them, and change those that the environment does not set."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from dashboard.access import Caller, current_settings
from dashboard.api import schemas
from dashboard.bodies import Body
from dashboard.resource import Resource
from dashboard.responses import success, to_camel_case
from models.switches import NAMES
from tasks.operators import switches as task

switches = Resource("switches")

_RESPONSE = {to_camel_case(name): schemas.BOOL for name in NAMES} | {"locked": schemas.array_of(schemas.TEXT)}


class SwitchesUpdate(Body):
    """The switches to change; omitted ones stay."""

    run_tracking: bool | None = Field(None, alias="runTracking")
    stats_in_api: bool | None = Field(None, alias="statsInApi")
    execution_tracking: bool | None = Field(None, alias="executionTracking")


@switches.api("GET", "/api/settings/switches", permission="read", response=_RESPONSE)
def show_switches(call: Caller) -> Any:
    """Show the switches, and which of them the environment locks."""
    return _build_response(task.resolve_switches(current_settings(), call.workspace_id))


@switches.api("PUT", "/api/settings/switches", permission="admin", body=SwitchesUpdate, response=_RESPONSE)
def change_switches(call: Caller, body: SwitchesUpdate) -> Any:
    """Change switches. Changes take effect within five seconds."""
    changes = {name: value for name in NAMES if (value := getattr(body, name)) is not None}
    return _build_response(task.change(current_settings(), call.workspace_id, changes, call.actor))


def _build_response(state: task.EffectiveSwitches) -> Any:
    values = {to_camel_case(name): getattr(state.switches, name) for name in NAMES}
    return success(**values, locked=[to_camel_case(name) for name in state.locked])
