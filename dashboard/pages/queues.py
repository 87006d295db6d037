"""The queues, the providers and the processes, and the pages that pause, drain, resume and try them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import flask

from dashboard import queue_status
from dashboard.api.queues import PauseRequest, require_target
from dashboard.bodies import check
from dashboard.errors import invalid_request
from dashboard.pages import labels, layout
from dashboard.pages.counts import build_list_path
from dashboard.pages.sparklines import draw_sparkline
from dashboard.queue_status import Status
from models.errors import Conflict
from models.execution_filters import ExecutionFilters
from rules.channels import CHANNELS, TEXT_PROVIDERS
from tasks.operators import actions as operator_actions

queues_pages = flask.Blueprint("queues-pages", __name__)

#: What each queue's workers do.
PURPOSES = {
    "executions": "check rules, take steps",
    "generation": "write messages",
    "sending": "call providers",
    "triggers": "accept triggers from Redis",
    "tracking": "store provider events",
}
STATES = {
    "running": "Running", "paused": "Paused", "draining": "Draining", "drained": "Drained",
    "no_workers": "No workers", "unknown": "Unknown", "ready": "Ready", "failing": "Failing",
    "not_configured": "Not configured", "sandbox": "Sandbox",
}  # fmt: skip
#: The icon and colour of each state, after the stages'.
STYLES = {
    "running": "eligible", "ready": "eligible", "sandbox": "checking", "paused": "queued", "draining": "skipped",
    "drained": "queued", "not_configured": "queued", "unknown": "skipped", "no_workers": "failed", "failing": "failed",
}  # fmt: skip


@queues_pages.get("/queues")
def show() -> Any:
    """The page, and its live part."""
    call = layout.require_page_permission()
    status = queue_status.read(call)
    return layout.render(
        "queues_live.html" if layout.is_fragment() else "queues.html",
        call,
        status=status,
        figures=_summarize(status),
        deployment_owner=call.deployment_owner,
        purposes=PURPOSES,
        states=STATES,
        styles=STYLES,
        describe_provider=describe_provider,
        waiting_path=_build_waiting_path,
        draw=draw_sparkline,
        moment=datetime.fromisoformat,
        is_clock_wrong=queue_status.is_clock_wrong,
        is_paused=flask.request.args.get("updates") == "paused",
    )


def _build_waiting_path(provider: str) -> str:
    """The list of what waits for a provider, as it is counted."""
    return build_list_path(ExecutionFilters(status="waiting", provider=provider, test=False))


def _summarize(status: Status) -> dict[str, Any]:
    pools = [pool for process in status.processes for pool in process.pools.values()]
    return {
        "running": sum(queue.state == "running" for queue in status.queues),
        "stopped": [queue for queue in status.queues if queue.state not in ("running", "unknown")],
        "workers": sum(bool(process.queues) for process in status.processes),
        "threads": sum(pool.size for pool in pools),
        "busy": sum(pool.busy for pool in pools),
        "hosts": len({process.host for process in status.processes}),
        "versions": sorted({process.version for process in status.processes}),
        "skew_seconds": max((abs(process.clock_skew_seconds) for process in status.processes), default=0.0),
    }


def describe_provider(name: str) -> str:
    """What a provider is for, in a word."""
    if name in TEXT_PROVIDERS:
        return "AI"
    channel = next(channel for channel in CHANNELS.values() if channel.provider == name)
    if channel.is_notice:
        return "notices"
    if channel.is_conversation:
        return "messages"
    return "outgoing" if name == "webhook" else channel.noun


@queues_pages.get("/pauses/<any(provider, queue):kind>/<name>")
def ask(kind: Literal["provider", "queue"], name: str) -> Any:
    """Ask for confirmation and a reason; `?drain=1` asks to drain a queue."""
    call = layout.require_page_permission("write")
    require_target(call, kind, name)
    draining = kind == "queue" and flask.request.args.get("drain") == "1"
    return layout.render("ask_to_pause.html", call, kind=kind, name=name, draining=draining)


@queues_pages.post("/pauses/<any(provider, queue):kind>/<name>")
def start(kind: Literal["provider", "queue"], name: str) -> Any:
    """Pause a queue or a provider, or drain a queue."""
    call = layout.require_page_permission("write")
    require_target(call, kind, name)
    body, problems = check(PauseRequest, {"reason": flask.request.form.get("reason", "").strip()})
    if body is None:
        raise invalid_request(problems)
    draining = kind == "queue" and flask.request.form.get("drain") == "1"
    operator_actions.set_pause(kind, name, call.workspace_id, call.actor, reason=body.reason, draining=draining)
    title = labels.PROVIDERS[name] if kind == "provider" else f"Queue {name}"
    outcome = "drains: what runs is finished, nothing new is taken" if draining else "paused"
    return layout.redirect("/queues", f"{title} {outcome}.")


@queues_pages.post("/pauses/provider/<name>/try")
def try_provider(name: str) -> Any:
    """Try a provider that refused its credentials."""
    call = layout.require_page_permission("write")
    require_target(call, "provider", name)
    try:
        execution_id = operator_actions.try_provider(name, call.workspace_id, call.actor)
    except Conflict as error:
        return layout.redirect(layout.read_next_path("/queues"), str(error), bad=True)
    trial = "One waiting message tries" if execution_id else "Nothing waits: the next message tries"
    notice = f"{trial} {labels.PROVIDERS[name]}. The others continue once it is accepted."
    return layout.redirect(layout.read_next_path("/queues"), notice)
