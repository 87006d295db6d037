"""Failures: what failed or waits because of an error, in groups, and the messages of unknown outcome.

The tab, the filters and the open group are in the URL. Every number leads to the list of exactly the executions that it
counts, and the bulk bar acts on exactly the filters that it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlencode

import flask
from pydantic import Field

import clock
from dashboard.access import Caller
from dashboard.api.executions import Failure, Id
from dashboard.bodies import Body, ShortText
from dashboard.pages import failure_texts, filter_forms, layout
from dashboard.pages.counts import build_list_path
from dashboard.responses import fetch_page, parse_row_cursor
from models.execution_filters import ExecutionFilters
from models.failure_scope import FAILURE_KINDS
from models.ids import is_id
from models.reports import automations, executions
from models.reports import failures as report
from models.reports.failures import FailureGroup
from models.tables.workspaces import OperationKind, RetryVersion
from providers.registry import SENDERS
from tasks.operators import bulk
from tasks.steps.unknown_policy import find_policy

failures_pages = flask.Blueprint("failures-pages", __name__)

#: Executions of an open group, and messages of unknown outcome, on one page.
PAGE_SIZE = 20
#: Automations in the filter.
MAX_AUTOMATIONS = 200


class FailuresForm(Body):
    """The query of the page."""

    failure: Failure = "any"
    q: ShortText | None = None
    error_class: ShortText | None = Field(None, alias="errorClass")
    provider: ShortText | None = None
    automation_id: Id | None = Field(None, alias="automationId")
    open: ShortText | None = None
    cursor: ShortText | None = None

    def build_filters(self) -> ExecutionFilters:
        """The filters of the page, without tests. An invalid id matches nothing."""
        automation_id = self.automation_id
        return ExecutionFilters(
            failure=cast(Any, self.failure),
            q=self.q,
            error_class=self.error_class,
            provider=self.provider,
            automation_id=automation_id if automation_id is None or is_id(automation_id) else _NO_AUTOMATION,
            test=False,
        )


_NO_AUTOMATION = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Tab:
    """A tab: its label, how many failures it lists, and its URL."""

    kind: str
    label: str
    count: int
    path: str


@dataclass(frozen=True)
class GroupView:
    """A group with its texts, the list behind its count, and the URL that opens or closes it."""

    group: FailureGroup
    headline: str
    chip: str
    remedy: str
    retryability: failure_texts.Retryability
    list_path: str
    toggle_path: str
    is_open: bool


@failures_pages.get("/failures")
def show() -> Any:
    """The page, or for htmx the part below the filters."""
    call = layout.require_page_permission()
    form, params = layout.parse_query(FailuresForm)
    filters = form.build_filters()
    groups = report.list_groups(call.workspace_id, filters) if form.failure != "unknown" else []
    tabs = _build_tabs(call, filters, params)
    opened = next((group for group in groups if group.key == form.open), None)
    return layout.render(
        "failures_list.html" if layout.is_fragment() else "failures.html",
        call,
        form=form,
        tabs=tabs,
        counted={tab.kind: tab for tab in tabs},
        # Of the workspace, whatever the filters: the badge in the navigation counts them too.
        undecided=layout.load_summary(call)["counts"].undecided,
        groups=[_build_group(group, filters, params, form.open) for group in groups],
        opened=opened and _build_open_group(call, opened, filters, params, form.cursor),
        unknown=_build_unknown(call, form, filters),
        automations=_load_automation_names(call),
        classes=failure_texts.CLASSES,
        max_groups=report.MAX_GROUPS,
        query=urlencode(params),
        export_path="/failures/export.csv" + (f"?{urlencode(params)}" if params else ""),
    )


def _build_tabs(call: Caller, filters: ExecutionFilters, params: Mapping[str, str]) -> list[Tab]:
    counts = report.count_failures(call.workspace_id, filters)
    names = {"any": "All", "decision": "Need a decision", "automatic": "Automatic", "unknown": "Unknown"}
    kept = {name: text for name, text in params.items() if name not in ("failure", "open", "cursor")}
    return [
        Tab(kind, names[kind], counts[kind], _build_path({**kept, **({"failure": kind} if kind != "any" else {})}))
        for kind in FAILURE_KINDS
    ]


def _build_path(params: Mapping[str, str], fragment: str = "") -> str:
    return "/failures" + (f"?{urlencode(params)}" if params else "") + fragment


def _load_automation_names(call: Caller) -> dict[str, str]:
    return {
        automation["id"]: automation["name"]
        for automation in automations.fetch_page(call.workspace_id, limit=MAX_AUTOMATIONS)
    }


def _build_group(
    group: FailureGroup, filters: ExecutionFilters, params: Mapping[str, str], opened: str | None
) -> GroupView:
    kept = {name: text for name, text in params.items() if name not in ("open", "cursor")}
    is_open = group.key == opened
    return GroupView(
        group=group,
        headline=failure_texts.describe_headline(group),
        chip=failure_texts.describe_code(group),
        remedy=failure_texts.describe_remedy(group, is_short=True),
        retryability=failure_texts.describe_retryability(group, clock.now()),
        list_path=build_list_path(group.narrow(filters)),
        toggle_path=_build_path(kept if is_open else {**kept, "open": group.key}),
        is_open=is_open,
    )


def _build_open_group(
    call: Caller, group: FailureGroup, filters: ExecutionFilters, params: Mapping[str, str], cursor: str | None
) -> dict[str, Any]:
    narrowed = group.narrow(filters)
    before = parse_row_cursor(cursor)
    rows, older = fetch_page(lambda limit: executions.fetch_page(call.workspace_id, narrowed, limit, before), PAGE_SIZE)
    kept = {name: text for name, text in params.items() if name != "cursor"}
    return {
        "key": group.key,
        "group": group,
        "remedy": failure_texts.describe_remedy(group, is_short=False),
        "rows": rows,
        "list_path": build_list_path(narrowed),
        "fields": filter_forms.build_hidden_fields(narrowed),
        "bar": _build_bar(call, group, narrowed, []),
        "older": older and _build_path({**kept, "cursor": older}),
        "newest": _build_path(kept) if cursor else None,
    }


def _build_bar(
    call: Caller,
    group: FailureGroup,
    narrowed: ExecutionFilters,
    ids: list[str],
    version: RetryVersion = "original",
) -> dict[str, Any]:
    """The dry run of the bulk bar, for the selected executions or for all of the group."""
    at = report.fetch_time()
    selected = replace(narrowed, ids=ids or None, stage_until=at)
    retry = bulk.preview(call.workspace_id, "retry", selected, version)
    return {
        "at": at,
        "count": len(ids) or group.count,
        "is_selection": bool(ids),
        "retry": retry,
        "can_retry": retry.matched - retry.conflicts,
        "can_discard": bulk.preview(call.workspace_id, "discard", selected).matched,
        "version": version,
        "effect": failure_texts.describe_first_effect(group, "retry"),
    }


@failures_pages.post("/failures/dry-run")
def dry_run() -> Any:
    """The bulk bar for the current selection. It is a POST because the form has its token, which is in no URL."""
    call = layout.require_page_permission("write")
    form = filter_forms.parse(flask.request.form)
    ids = [execution_id for execution_id in form.ids or () if is_id(execution_id)]
    all_of_group = {"ids": None, "failure": form.failure or "any"}
    scope = filter_forms.build_filters(form.model_copy(update=all_of_group), call)
    groups = report.list_groups(call.workspace_id, scope) if scope else []
    group = next((group for group in groups if group.key == flask.request.form.get("open")), None)
    if group is None or scope is None:
        return layout.render("failure_bar.html", call, bar=None)
    version: RetryVersion = "current" if flask.request.form.get("version") == "current" else "original"
    return layout.render("failure_bar.html", call, bar=_build_bar(call, group, scope, ids, version))


def _build_unknown(call: Caller, form: FailuresForm, filters: ExecutionFilters) -> list[dict[str, Any]]:
    """The messages of unknown outcome, by provider."""
    if form.failure not in ("any", "unknown"):
        return []
    scope = replace(filters, failure="unknown")
    return [_build_provider(call, count, scope) for count in report.count_unknown(call.workspace_id, scope)]


def _build_provider(call: Caller, count: report.UnknownCount, scope: ExecutionFilters) -> dict[str, Any]:
    provider = count["provider"]
    items = report.list_unknown(call.workspace_id, scope, provider, PAGE_SIZE)
    own = replace(scope, error_class="unknown_outcome", provider=provider)
    can_look_up = SENDERS[provider].can_reconcile
    return {
        "provider": provider,
        "label": failure_texts.format_provider(provider),
        "count": count["count"],
        "undecided": count["undecided"],
        "state": failure_texts.describe_unknown(count, clock.now()),
        "consequence": failure_texts.describe_consequence(
            provider, resends=find_policy(None, provider, call.workspace_id) == "resend"
        ),
        "can_look_up": can_look_up,
        "points": failure_texts.build_look_up_points(items, clock.now()) if can_look_up else [],
        "items": items,
        "fields": filter_forms.build_hidden_fields(replace(own, stage_until=report.fetch_time())),
        "list_path": build_list_path(own),
    }


@failures_pages.post("/failures/<any(retry, discard, sent, resend, look_up):action>")
def act(action: str) -> Any:
    """Start a bulk action on the selected executions, or on all that the filters match, and show its progress.

    Messages of unknown outcome are sent again or discarded after a question: their form has no dry run beside it.
    """
    call = layout.require_page_permission("write")
    form = filter_forms.parse(flask.request.form)
    if only := flask.request.form.get("only"):
        # The button of one row, whatever is selected.
        form = form.model_copy(update={"ids": [only]})
    if flask.request.form.get("selection") and not form.ids:
        return layout.redirect(layout.read_next_path("/failures"), "Select at least one message.", bad=True)
    filters = filter_forms.build_filters(form, call)
    if filters is None or filters.failure is None:
        return layout.redirect("/failures")
    if flask.request.form.get("selection") and action in ("resend", "discard"):
        fields = {**filter_forms.build_hidden_fields(filters), "next": layout.read_next_path("/failures")}
        return flask.redirect(f"/executions/all/{action}?{urlencode(fields)}", 303)
    version: RetryVersion = "current" if flask.request.form.get("version") == "current" else "original"
    row = bulk.start(call.workspace_id, cast(OperationKind, action), filters, call.actor, version)
    return layout.redirect(f"/operations/{row['id']}")
