"""Recent changes in an operator's words: entries of the audit log and deployments, with the icons of the time axis.

`CHANGES` lists the actions that may explain a change of what is sent. Sign-ins, keys and members are in the audit log
only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, Literal

from dashboard.pages import labels
from models.deployment import DeploymentRow
from models.pause import OPERATORS_REASONS
from models.reports.overview import ChangeRow

#: How a change is drawn: `bad` is a failure, `plain` an operator's hold, `good` everything else.
Tone = Literal["good", "plain", "bad"]


@dataclass(frozen=True)
class Change:
    """A change: what happened, by whom, and when. `path` leads to what was changed."""

    icon: str
    tone: Tone
    title: str
    detail: str
    at: datetime
    path: str = ""


@dataclass(frozen=True)
class _Kind:
    icon: str
    tone: Tone
    describe: Callable[[str, Mapping[str, Any]], str]


def _name(text: str) -> Callable[[str, Mapping[str, Any]], str]:
    return lambda name, _: f"{name} {text}"


CHANGES = {
    "automation.published": _Kind("tag", "good", lambda name, detail: f"{name}, version {_read_version(detail)}"),
    **{f"{kind}.draining": _Kind("pause", "plain", _name("draining")) for kind in ("provider", "queue")},
    "switch.on": _Kind("toggle", "good", _name("turned on")),
    "switch.off": _Kind("toggle", "plain", _name("turned off")),
    "provider.tried": _Kind("retry", "good", _name("tried again")),
    "channel.changed": _Kind("key", "good", _name("credentials changed")),
    "automation.deleted": _Kind("delete", "plain", _name("deleted")),
    "automation.enabled": _Kind("toggle", "good", _name("turned on")),
    "automation.disabled": _Kind("toggle", "plain", _name("turned off")),
    "automation.ticks_skipped": _Kind("queued", "bad", lambda name, detail: f"{name}, {_count_ticks(detail)} skipped"),
    **{f"{kind}.paused": _Kind("pause", "plain", _name("paused")) for kind in ("automation", "provider", "queue")},
    **{f"{kind}.resumed": _Kind("play", "good", _name("resumed")) for kind in ("automation", "provider", "queue")},
    "model.changed": _Kind("settings", "good", lambda *_: "AI model changed"),
    **{f"account.{verb}": _Kind("key", "good", _name(verb)) for verb in ("connected", "renewed", "disconnected")},
    "executions.retry": _Kind("retry", "good", lambda _, detail: f"{_count(detail)} retried"),
    "executions.cancel": _Kind("close", "plain", lambda _, detail: f"{_count(detail)} cancelled"),
    "executions.discard": _Kind("close", "plain", lambda _, detail: f"{_count(detail)} discarded"),
}


def _read_version(detail: Mapping[str, Any]) -> int | str:
    """The version that an entry of a publication names; entries of earlier versions have it directly."""
    version: int | str = detail.get("after", detail).get("version", "?")
    return version


def _count(detail: Mapping[str, Any]) -> str:
    number = detail.get("done", 0)
    return f"{number:,} execution{'' if number == 1 else 's'}"


def _count_ticks(detail: Mapping[str, Any]) -> str:
    number = detail.get("count", 0)
    return f"{number:,} scheduled time{'' if number == 1 else 's'}"


def build_changes(
    rows: Sequence[ChangeRow],
    deployments: Sequence[DeploymentRow],
    automation_names: Mapping[str, str],
    pauses: Sequence[Mapping[str, Any]],
) -> list[Change]:
    """The changes, newest first. Pauses that Beckon started itself are not in the audit log."""
    changes = [_build_change(row, automation_names) for row in rows]
    changes += _build_deployments(deployments)
    changes += [_build_automatic_pause(row) for row in pauses if row["reason"] not in OPERATORS_REASONS]
    return sorted(changes, key=lambda change: change.at, reverse=True)


def _build_deployments(deployments: Sequence[DeploymentRow]) -> list[Change]:
    """The starts of schedulers, newest first: of another version, or of the same one again."""
    earlier_versions = [row["version"] for row in deployments[1:]]
    return [
        Change(
            "deploy",
            "good",
            f"{'Restarted' if row['version'] == earlier else 'Deployed'} {row['version']}",
            "A scheduler started",
            row["started_at"],
        )
        for row, earlier in zip_longest(deployments, earlier_versions)
    ]


def _build_change(row: ChangeRow, automation_names: Mapping[str, str]) -> Change:
    kind = CHANGES[row["action"]]
    name = _name_object(row, automation_names)
    verb = "Published by " if row["action"] == "automation.published" else ""
    reason = f", {row['detail']['reason']}" if row["detail"].get("reason") else ""
    path = f"/automations/{row['object_id']}" if row["object_id"] in automation_names else ""
    if row["action"] == "automation.deleted":
        path = ""
    return Change(
        kind.icon, kind.tone, kind.describe(name, row["detail"]), verb + row["actor_name"] + reason, row["at"], path
    )  # fmt: skip


def _name_object(row: ChangeRow, automation_names: Mapping[str, str]) -> str:
    if row["object_kind"] == "automation":
        return automation_names.get(row["object_id"], "Automation")
    if row["object_kind"] == "provider":
        return labels.PROVIDERS.get(row["object_id"], row["object_id"])
    if row["object_kind"] == "channel":
        return labels.CHANNELS.get(row["object_id"], labels.PROVIDERS.get(row["object_id"], row["object_id"]))
    if row["object_kind"] == "switch":
        return row["object_id"].replace("_", " ").capitalize()
    return f"Queue {row['object_id']}" if row["object_kind"] == "queue" else "Account"


def _build_automatic_pause(row: Mapping[str, Any]) -> Change:
    name = labels.PROVIDERS.get(row["name"], row["name"])
    if row["reason"] == "timeouts":
        return Change("breaker", "bad", f"{name} stopped", "Automatic, it does not answer", row["created_at"])
    return Change("breaker", "bad", f"{name} paused", "Automatic, its credentials were refused", row["created_at"])
