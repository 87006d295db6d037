"""Queues and pauses over HTTP: how much waits where, and what an operator holds."""

from __future__ import annotations

from typing import Any

import redis
from dramatiq.errors import BrokerConnectionError

from dashboard.access import Caller, deployment_fields
from dashboard.answers import named, success
from dashboard.api import shapes
from dashboard.errors import not_there
from dashboard.resource import Resource
from ephemeral import heartbeats
from models import pause
from models.database import acting_as
from models.ids import is_id
from models.reports import automations
from providers import PROVIDERS, WRITERS
from tasks import operators
from tasks.broker import EXECUTION_QUEUES, QUEUES, queue_depths

queues = Resource("queues")

_STATES = ("ready", "delayed", "unacked", "dead")
#: Providers that may be paused: those that send, and those that write.
_PROVIDERS = frozenset({*PROVIDERS, *WRITERS})


@queues.api(
    "GET",
    "/api/queues",
    permission="read",
    answer={
        "redis": shapes.TEXT,
        "queues": shapes.listing(
            shapes.record(
                name=shapes.TEXT, ready=shapes.maybe(shapes.COUNT), delayed=shapes.maybe(shapes.COUNT),
                unacked=shapes.maybe(shapes.COUNT), dead=shapes.maybe(shapes.COUNT), workers=shapes.COUNT,
                paused=shapes.BOOL,
            )
        ),
        "pauses": shapes.listing(
            shapes.record(kind=shapes.TEXT, name=shapes.TEXT, reason=shapes.TEXT, createdAt=shapes.TIME)
        ),
    },
)  # fmt: skip
def list_queues(call: Caller) -> Any:
    """Show the queues, who serves them, and what is held."""
    try:
        depths, workers, answering = queue_depths(), heartbeats.workers(), True
    except (redis.RedisError, BrokerConnectionError, OSError):
        depths, workers, answering = {}, [], False
    with acting_as(call.workspace_id):
        pauses = pause.every(call.workspace_id)
    held = {one["name"] for one in pauses if one["kind"] == "queue"}
    unknown = dict.fromkeys(_STATES)
    shown = [
        {
            "name": name,
            # A queue holds the messages of every workspace.
            **deployment_fields(call, depths.get(name) or unknown),
            "workers": sum(name in worker.queues for worker in workers),
            "paused": name in held,
        }
        for name in QUEUES
    ]
    return success(redis="ok" if answering else "down", queues=shown, pauses=[named(one) for one in pauses])


def _declare(kind: str, plural: str) -> None:
    def hold(call: Caller, name: str) -> Any:
        operators.hold(kind, _known(call, kind, name), call.workspace_id, call.actor)
        return success(paused=True)

    def let_go(call: Caller, name: str) -> Any:
        resumed = operators.let_go(kind, _known(call, kind, name), call.workspace_id, call.actor)
        return success(paused=False, resumed=resumed)

    for verb, view in (("pause", hold), ("resume", let_go)):
        view.__name__ = f"{verb}_{kind}"
        view.__doc__ = f"{verb.title()} {'an' if kind[0] in 'aeiou' else 'a'} {kind}."
        queues.api("POST", f"/api/{plural}/{{name}}/{verb}", permission="write", answer={"paused": shapes.BOOL})(view)


def _known(call: Caller, kind: str, name: str) -> str:
    if kind == "automation":
        known = is_id(name) and automations.one(call.workspace_id, name) is not None
    else:
        known = name in {"queue": EXECUTION_QUEUES, "provider": _PROVIDERS}[kind]
    if not known:
        raise not_there(f"There is no {kind} by that name.")
    return name


_declare("automation", "automations")
_declare("queue", "queues")
_declare("provider", "providers")
