"""The switches as they hold: what the environment forces for everybody, else what the workspace says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models import switches
from models.audit import Actor
from models.errors import Conflict
from models.switches import NAMES, Switches
from settings import Settings


@dataclass(frozen=True)
class EffectiveSwitches:
    """The switches as they are, and the names of those that the environment holds."""

    switches: Switches
    locked: tuple[str, ...]


def read_forced(settings: Settings) -> dict[str, bool]:
    """What the environment forces, by the switch's name."""
    values = {name: getattr(settings, name) for name in NAMES}
    return {name: value for name, value in values.items() if value is not None}


def resolve_switches(settings: Settings, workspace_id: str) -> EffectiveSwitches:
    """All of a workspace's switches, as of now."""
    forced_values = read_forced(settings)
    return EffectiveSwitches(replace(switches.load(workspace_id), **forced_values), tuple(forced_values))


def is_on(settings: Settings, workspace_id: str, name: str) -> bool:
    """Whether a switch is on, as of a moment ago: for what is asked at every call."""
    value = read_forced(settings).get(name)
    return bool(getattr(switches.load_cached(workspace_id), name)) if value is None else value


def change(settings: Settings, workspace_id: str, changes: Mapping[str, bool], actor: Actor) -> EffectiveSwitches:
    """Turn switches. Raises `Conflict` for one that the environment holds otherwise, and then turns none."""
    for name, value in read_forced(settings).items():
        if changes.get(name, value) != value:
            raise Conflict(
                f"{name.upper()} in the environment holds this switch {'on' if value else 'off'} for every workspace: "
                "change it there and restart.",
                path=_to_api_name(name),
            )
    switches.change(workspace_id, changes, actor)
    return resolve_switches(settings, workspace_id)


def _to_api_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)
