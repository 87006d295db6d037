"""The audit log: who changed what and when, filtered by the query, paged by keyset, and as CSV. For owners only."""

from __future__ import annotations

import json  # readable values within one cell
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import flask
from pydantic import AfterValidator, Field

from dashboard.access import Caller
from dashboard.api.audit import ActorChoice
from dashboard.bodies import Body, ShortText
from dashboard.csv_download import respond_with_csv
from dashboard.pages import layout
from dashboard.pages.filter_forms import Chip
from dashboard.responses import fetch_page, format_time, parse_row_cursor
from models import audit, user
from models.audit import AuditEntryRow, AuditFilters
from models.reports import audit as report
from rules.audit_actions import OBJECT_KINDS, describe_action, group_actions

audit_pages = flask.Blueprint("audit-pages", __name__)

PAGE_SIZE = 50
_COLUMNS = ("at", "actor kind", "actor", "action", "object kind", "object", "before", "after", "detail")

ACTORS = {
    "user": "People", "api_key": "API keys", "command": "The beckon command", "contact": "Recipients",
    "system": "Beckon itself",
}  # fmt: skip

#: The page of each kind of object; `{id}` is the object's, or of a message its execution's.
_PAGES = {
    "automation": "/automations/{id}",
    "channel": "/settings/channels#{id}",
    "contact": "/contacts/{id}",
    "execution": "/executions/{id}",
    "invitation": "/settings/members",
    "key": "/settings/keys",
    "message": "/executions/{id}",
    "possible_opt_out": "/suppressions/possible?status=resolved",
    "settings": "/settings#{id}",
    "site_key": "/settings/keys",
    "suppression": "/suppressions",
    "switch": "/settings",
    "test_run": "/test-runs/{id}",
    "user": "/settings/members",
}


def _check_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("must be a day such as 2026-11-20") from None


Day = Annotated[str, Field(max_length=10), AfterValidator(_check_day)]


class AuditForm(Body):
    """The filters in the query. Days are whole days in the zone of the page."""

    actor: ShortText | None = None
    actor_kind: ActorChoice | None = Field(None, alias="actorKind")
    action: ShortText | None = None
    object_kind: ShortText | None = Field(None, alias="objectKind")
    object_id: ShortText | None = Field(None, alias="objectId")
    first_day: Day | None = Field(None, alias="from")
    last_day: Day | None = Field(None, alias="to")
    cursor: ShortText | None = None


@dataclass(frozen=True)
class AuditLine:
    """An entry for the page: what was done in words, the object with its link, and what changed."""

    entry: AuditEntryRow
    phrase: str
    object_name: str
    link: str | None
    #: The kind of the object within a sentence.
    noun: str
    changes: list[tuple[str, str | None, str | None]]
    facts: list[tuple[str, str]]


@audit_pages.get("/audit")
def show() -> Any:
    """The page."""
    call = layout.require_page_permission("admin")
    form, params = layout.parse_query(AuditForm)
    params.pop("cursor", None)
    before, filters = parse_row_cursor(form.cursor), _build_filters(form, call)
    rows, cursor = fetch_page(lambda limit: audit.fetch_page(call.workspace_id, limit, before, filters), PAGE_SIZE)
    return layout.render(
        "audit.html",
        call,
        lines=_build_lines(call, rows),
        filters=form,
        chips=_build_chips(form, params),
        actors=ACTORS,
        groups=group_actions(),
        object_kinds=OBJECT_KINDS,
        older=cursor and _build_address({**params, "cursor": cursor}),
        newest=_build_address(params) if form.cursor else None,
        export="/audit/export" + (f"?{urlencode(params)}" if params else ""),
    )


@audit_pages.get("/audit/export")
def export() -> Any:
    """All entries that match the filters as CSV, newest first, in pieces."""
    call = layout.require_page_permission("admin")
    form, _ = layout.parse_query(AuditForm)
    filters = _build_filters(form, call)
    return respond_with_csv(
        "audit-log.csv",
        _COLUMNS,
        lambda limit, before: audit.fetch_page(call.workspace_id, limit, before, filters),
        _build_cells,
    )


def _build_cells(row: AuditEntryRow) -> tuple[Any, ...]:
    rest = {name: value for name, value in row["detail"].items() if name not in ("before", "after")}
    values = [_format_json(part) for part in (row["detail"].get("before"), row["detail"].get("after"), rest)]
    return (
        format_time(row["at"]), row["actor_kind"], row["actor_name"], row["action"], row["object_kind"],
        row["object_id"], *values,
    )  # fmt: skip


def _format_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""


def _build_filters(form: AuditForm, call: Caller) -> AuditFilters:
    return AuditFilters(
        actor=form.actor,
        actor_kind=form.actor_kind,
        action=form.action,
        object_kind=form.object_kind,
        object_id=form.object_id,
        since=_start_of(call, form.first_day, 0),
        until=_start_of(call, form.last_day, 1),
    )


def _start_of(call: Caller, day: str | None, days_later: int) -> datetime | None:
    """The start of the day, or of a later one, in the zone of the page."""
    if day is None:
        return None
    try:
        moment = date.fromisoformat(day) + timedelta(days=days_later)
        return datetime.combine(moment, time.min, layout.load_zone(call)).astimezone(UTC)
    except OverflowError:
        return None


def _build_lines(call: Caller, rows: list[AuditEntryRow]) -> list[AuditLine]:
    names = report.fetch_names(call.workspace_id, [(row["object_kind"], row["object_id"]) for row in rows])
    if any(row["object_kind"] == "user" for row in rows):
        members = user.list_members(call.workspace_id)
        names |= {("user", member["id"]): member["name"] or member["email"] or "" for member in members}
    return [_build_line(row, names.get((row["object_kind"], row["object_id"]))) for row in rows]


def _build_line(row: AuditEntryRow, name: str | None) -> AuditLine:
    detail, kind = row["detail"], row["object_kind"]
    page_id = name if kind == "message" else row["object_id"]
    page = _PAGES.get(kind)
    has_page = page is not None and bool(page_id) and (name is not None or kind not in ("automation", "contact"))
    is_own = kind == "user" and row["object_id"] == row["actor_id"]
    object_name = "" if is_own else _name_object(row, name)
    return AuditLine(
        entry=row,
        phrase=describe_action(row["action"]),
        object_name=object_name,
        noun=_build_noun(kind),
        link=page.format(id=page_id) if page is not None and has_page else None,
        changes=_list_changes(detail),
        facts=[
            (key, text) for key, value in _read_facts(detail).items() if (text := _format_value(value)) != object_name
        ],
    )


def _build_noun(kind: str) -> str:
    label = OBJECT_KINDS.get(kind, "object")
    return label if label[1:2].isupper() else label.lower()


def _name_object(row: AuditEntryRow, name: str | None) -> str:
    if name and row["object_kind"] != "message":
        return name
    detail = row["detail"]
    own_name = detail.get("name") or detail.get("email") or detail.get("slug")
    return str(own_name or row["object_id"])


def _read_sides(detail: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The values before and after; older entries have one value under `from` and `to`."""
    if "from" in detail and "to" in detail:
        return {"value": detail["from"]}, {"value": detail["to"]}
    before, after = detail.get("before"), detail.get("after")
    return (before if isinstance(before, dict) else {}), (after if isinstance(after, dict) else {})


def _list_changes(detail: Mapping[str, Any]) -> list[tuple[str, str | None, str | None]]:
    before, after = _read_sides(detail)
    return [
        (name, _format_optional(before.get(name)), _format_optional(after.get(name))) for name in {**before, **after}
    ]


def _read_facts(detail: Mapping[str, Any]) -> dict[str, Any]:
    hidden = {"before", "after", "from", "to", "fields"}
    return {name: value for name, value in detail.items() if name not in hidden and value not in (None, "", {}, [])}


def _format_optional(value: Any) -> str | None:
    return None if value in (None, "", [], {}) else _format_value(value)


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return _format_json(value) if isinstance(value, dict | list) else str(value)


def _build_address(params: Mapping[str, str]) -> str:
    return "/audit" + (f"?{urlencode(params)}" if params else "")


def _build_chips(form: AuditForm, params: Mapping[str, str]) -> list[Chip]:
    kind = OBJECT_KINDS.get(form.object_kind or "", form.object_kind)
    texts = {
        "actor": form.actor and f"by “{form.actor}”",
        "actorKind": form.actor_kind and ACTORS[form.actor_kind],
        "action": form.action and describe_action(form.action),
        "objectKind": kind,
        "objectId": form.object_id and f"object {form.object_id}",
        "from": form.first_day and f"from {form.first_day}",
        "to": form.last_day and f"to {form.last_day}",
    }
    return [
        Chip(text, _build_address({other: value for other, value in params.items() if other != name}))
        for name, text in texts.items()
        if text
    ]
