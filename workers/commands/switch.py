"""`beckon switch`: show and change the workspace's switches."""

from __future__ import annotations

from typing import Any

import click

from workers.console import as_json as json_option
from workers.console import connect, current_actor, find_workspace_id, in_workspace, show_json, show_table, to_api_name

_NAMES = {"runTracking": "run_tracking", "statsInApi": "stats_in_api", "executionTracking": "execution_tracking"}


@click.command()
@click.argument("name", metavar="[NAME]", required=False, type=click.Choice(list(_NAMES)))
@click.argument("state", metavar="[STATE]", required=False, type=click.Choice(["on", "off"]))
@in_workspace
@json_option
def command(name: str | None, state: str | None, workspace: str, as_json: bool) -> None:
    """Show the switches, or turn the switch NAME on or off.

    runTracking: count runs. statsInApi: return stats in the API's lists. executionTracking: record playbooks. Changes
    take effect within five seconds. A switch that is set by the environment cannot be changed here.
    """
    if (name is None) != (state is None):
        raise click.UsageError("specify both NAME and STATE (on or off), or neither")
    with connect() as settings:
        from tasks.operators import switches

        workspace_id = find_workspace_id(workspace)
        changes = {_NAMES[name]: state == "on"} if name else {}
        switch_state = (
            switches.change(settings, workspace_id, changes, current_actor())
            if changes
            else switches.resolve_switches(settings, workspace_id)
        )
    _show(switch_state, as_json)


def _show(switch_state: Any, as_json: bool) -> None:
    values = {label: getattr(switch_state.switches, name) for label, name in _NAMES.items()}
    if as_json:
        show_json({**values, "locked": [to_api_name(name) for name in switch_state.locked]})
        return
    lines = [
        [label, "on" if values[label] else "off", f"set by {name.upper()}" if name in switch_state.locked else ""]
        for label, name in _NAMES.items()
    ]
    show_table(("switch", "state", ""), lines, "")
