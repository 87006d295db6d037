"""Resolves the switches: the environment's value applies to every workspace, else the workspace's own value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models import switches
from models.audit import AuditActor
from models.errors import Conflict
from models.switches import NAMES, Switches
from settings import Settings


@dataclass(frozen=True)
class EffectiveSwitches:
    """The effective switches, and the names of those that the environment sets."""

    switches: Switches
    locked: tuple[str, ...]


def read_forced(settings: Settings) -> dict[str, bool]:
    """Return the values that the environment sets, by the switch's name."""
    values = {name: getattr(settings, name) for name in NAMES}
    return {name: value for name, value in values.items() if value is not None}


def resolve_switches(settings: Settings, workspace_id: str) -> EffectiveSwitches:
    """Return all of a workspace's switches, uncached."""
    forced_values = read_forced(settings)
    return EffectiveSwitches(replace(switches.load(workspace_id), **forced_values), tuple(forced_values))


def is_on(settings: Settings, workspace_id: str, name: str) -> bool:
    """Whether a switch is on, from the cache: for checks at every call."""
    value = read_forced(settings).get(name)
    return bool(getattr(switches.load_cached(workspace_id), name)) if value is None else value


def change(settings: Settings, workspace_id: str, changes: Mapping[str, bool], actor: AuditActor) -> EffectiveSwitches:
    """Change switches. Raises `Conflict` where the environment sets another value; nothing changes then."""
    for name, value in read_forced(settings).items():
        if changes.get(name, value) != value:
            raise Conflict(
                f"{name.upper()} in the environment sets this switch {'on' if value else 'off'} for every workspace. "
                "Change it there and restart.",
                path=_to_api_name(name),
            )
    switches.change(workspace_id, changes, actor)
    return resolve_switches(settings, workspace_id)


def _to_api_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)
