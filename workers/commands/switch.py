"""`beckon switch`: the workspace's switches, looked at and turned."""

from __future__ import annotations

from typing import Any

import click

from workers.terminal import actor, api_name, connected, in_workspace, show_json, show_table, workspace_id
from workers.terminal import as_json as json_option

_NAMES = {"runTracking": "run_tracking", "statsInApi": "stats_in_api", "executionTracking": "execution_tracking"}


@click.command()
@click.argument("name", metavar="[NAME]", required=False, type=click.Choice(list(_NAMES)))
@click.argument("state", metavar="[STATE]", required=False, type=click.Choice(["on", "off"]))
@in_workspace
@json_option
def command(name: str | None, state: str | None, workspace: str, as_json: bool) -> None:
    """Show the switches, or turn the one called NAME on or off.

    runTracking: count runs. statsInApi: numbers in the API's lists. executionTracking: record playbooks. Every process
    sees a change within five seconds. A switch that the environment holds cannot be turned here.
    """
    if (name is None) != (state is None):
        raise click.UsageError("name the switch and say on or off, or give neither")
    with connected() as told:
        from tasks import switches

        found = workspace_id(workspace)
        wanted = {_NAMES[name]: state == "on"} if name else {}
        held = switches.change(told, found, wanted, actor()) if wanted else switches.held(told, found)
    _show(held, as_json)


def _show(held: Any, as_json: bool) -> None:
    known = {shown: getattr(held.switches, name) for shown, name in _NAMES.items()}
    if as_json:
        show_json({**known, "locked": [api_name(name) for name in held.locked]})
        return
    lines = [
        [shown, "on" if known[shown] else "off", f"held by {name.upper()}" if name in held.locked else ""]
        for shown, name in _NAMES.items()
    ]
    show_table(("switch", "state", ""), lines, "")
