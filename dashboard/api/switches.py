"""The workspace's switches over HTTP: read, and turn those that the environment does not hold."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from dashboard.access import Caller, settings
from dashboard.answers import camel, success
from dashboard.api import shapes
from dashboard.bodies import Body
from dashboard.resource import Resource
from models.switches import NAMES
from tasks import switches as task

switches = Resource("switches")

_ANSWER = {camel(name): shapes.BOOL for name in NAMES} | {"locked": shapes.listing(shapes.TEXT)}


class WantedSwitches(Body):
    """Which switches to turn, and how; what is not given stays."""

    run_tracking: bool | None = Field(None, alias="runTracking")
    stats_in_api: bool | None = Field(None, alias="statsInApi")
    execution_tracking: bool | None = Field(None, alias="executionTracking")


@switches.api("GET", "/api/settings/switches", permission="read", answer=_ANSWER)
def show_switches(call: Caller) -> Any:
    """Show the switches, and which of them the environment holds."""
    return _shown(task.held(settings(), call.workspace_id))


@switches.api("PUT", "/api/settings/switches", permission="admin", body=WantedSwitches, answer=_ANSWER)
def turn_switches(call: Caller, body: WantedSwitches) -> Any:
    """Turn switches; every process sees it within five seconds."""
    wanted = {name: value for name in NAMES if (value := getattr(body, name)) is not None}
    return _shown(task.change(settings(), call.workspace_id, wanted, call.actor))


def _shown(held: task.Held) -> Any:
    known = {camel(name): getattr(held.switches, name) for name in NAMES}
    return success(**known, locked=[camel(name) for name in held.locked])
