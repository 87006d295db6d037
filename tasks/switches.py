"""The switches as they hold: what the environment forces for everybody, else what the workspace says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models import switches
from models.audit import Actor
from models.refusals import Conflict
from models.switches import NAMES, Switches
from settings import Settings


@dataclass(frozen=True)
class Held:
    """The switches as they are, and the names of those that the environment holds."""

    switches: Switches
    locked: tuple[str, ...]


def forced(settings: Settings) -> dict[str, bool]:
    """What the environment forces, by the switch's name."""
    given = {name: getattr(settings, name) for name in NAMES}
    return {name: value for name, value in given.items() if value is not None}


def held(settings: Settings, workspace_id: str) -> Held:
    """All of a workspace's switches, as of now."""
    by_environment = forced(settings)
    return Held(replace(switches.of(workspace_id), **by_environment), tuple(by_environment))


def is_on(settings: Settings, workspace_id: str, name: str) -> bool:
    """Whether a switch is on, as of a moment ago: for what is asked at every call."""
    value = forced(settings).get(name)
    return bool(getattr(switches.seen(workspace_id), name)) if value is None else value


def change(settings: Settings, workspace_id: str, wanted: Mapping[str, bool], actor: Actor) -> Held:
    """Turn switches. Raises `Conflict` for one that the environment holds otherwise, and then turns none."""
    for name, value in forced(settings).items():
        if wanted.get(name, value) != value:
            raise Conflict(
                f"{name.upper()} in the environment holds this switch {'on' if value else 'off'} for every workspace: "
                "change it there and restart.",
                path=_api_name(name),
            )
    switches.change(workspace_id, wanted, actor)
    return held(settings, workspace_id)


def _api_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)
