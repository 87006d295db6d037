"""Results of the search over everything, grouped by kind, for the API and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dashboard.pages import labels
from models.contact import ContactDetailRow
from models.reports import search as report
from models.reports.automations import AutomationRow
from models.reports.executions import ExecutionItem
from models.reports.search import SentMessage
from rules.errors import BY_CLASS

#: Matches are counted up to this number.
MAX_COUNT = 100


@dataclass(frozen=True)
class Result:
    """One thing that was found, and the path of its page."""

    id: str
    title: str
    detail: str
    path: str


@dataclass(frozen=True)
class ResultGroup:
    """Results of one kind. `total` is None if there are more than `MAX_COUNT`; `path` lists all of them."""

    kind: str
    label: str
    icon: str
    results: list[Result]
    total: int | None
    path: str | None


def find_groups(workspace_id: str, text: str, limit: int) -> list[ResultGroup]:
    """Search the workspace; return the kinds with matches, and at most `limit` results of each."""
    matches = report.find(workspace_id, text, MAX_COUNT + 1)
    query = urlencode({"q": text.strip()})
    groups = (
        _build_group("execution", "Executions", "list", matches.executions, f"/executions?{query}", _show_execution),
        _build_group("contact", "Contacts", "contact", matches.contacts, f"/contacts?{query}", _show_contact),
        _build_group(
            "automation", "Automations", "branch", matches.automations, f"/automations?{query}", _show_automation
        ),
        _build_group("message", "Messages", "sent", matches.messages, None, _show_message),
        _build_group("error", "Errors", "failed", _find_error_classes(text), None, _show_error),
    )
    return [_limit(group, limit) for group in groups if group.results]


def _build_group(kind: str, label: str, icon: str, rows: Sequence[Any], path: str | None, show: Any) -> ResultGroup:
    total = len(rows) if len(rows) <= MAX_COUNT else None
    return ResultGroup(kind, label, icon, [show(row) for row in rows], total, path)


def _limit(group: ResultGroup, limit: int) -> ResultGroup:
    return ResultGroup(**{**vars(group), "results": group.results[:limit]})


def _show_contact(row: ContactDetailRow) -> Result:
    addresses = (row["email"], row["phone"], row["username"] and f"@{row['username']}", row["external_id"])
    address = next((address for address in addresses if address), "No address")
    return Result(row["id"], labels.format_contact_name(row), address, f"/contacts/{row['id']}")


def _show_automation(row: AutomationRow) -> Result:
    state = "On" if row["enabled"] else "Off"
    return Result(row["id"], row["name"], f"{labels.TYPES[row['type']]} · {state}", f"/automations/{row['id']}")


def _show_execution(row: ExecutionItem) -> Result:
    detail = f"{labels.STATUSES[row['status']]} · {row['automation_name']}{' · test' if row['test'] else ''}"
    return Result(row["id"], row["contact_name"] or "No contact", detail, f"/executions/{row['id']}")


def _show_message(row: SentMessage) -> Result:
    provider = labels.PROVIDERS.get(row["provider"], row["provider"])
    detail = f"{labels.CHANNELS.get(row['channel'], row['channel'])} sent with {provider}"
    return Result(row["id"], row["to_address"], detail, f"/executions/{row['execution_id']}")


def _find_error_classes(text: str) -> list[str]:
    """The error classes whose name or label has a word that begins with each word of the text."""
    words = text.lower().replace("_", " ").split()
    if not words:
        return []
    return [
        name
        for name, error in BY_CLASS.items()
        if all(_begins_a_word(word, f"{name.replace('_', ' ')} {error.label.lower()}") for word in words)
    ]


def _begins_a_word(beginning: str, text: str) -> bool:
    return any(word.startswith(beginning) for word in text.split())


def _show_error(name: str) -> Result:
    error = BY_CLASS[name]
    return Result(name, error.label, error.short_remedy, f"/failures?{urlencode({'errorClass': name})}")
