"""The active playbooks of a site key's workspace, as the browser script loads them.

Every page view of every customer's visitor asks for them, so they come from the cache of published workflows; browsers
and proxies keep the answer for a minute.
"""

from __future__ import annotations

from typing import Any

import flask
import structlog

from dashboard.access import current_settings
from dashboard.api import schemas
from dashboard.producers import SITE_KEY_HEADER, PageCaller
from dashboard.resource import Resource
from dashboard.responses import success
from ephemeral import workflow_cache
from models import published
from models.database import acting_as
from models.published import PublishedWorkflow
from rules import playbooks as rules
from rules.language import PAGE_TRIGGER, PLAYBOOK
from rules.outbound_urls import ALL_NETWORKS
from rules.validation import validate
from tasks.operators import switches

log = structlog.get_logger(__name__)

playbooks = Resource("playbooks")

#: Browsers and proxies may show a change a minute late.
_CACHE_CONTROL = "public, max-age=60"

#: The conditions of a playbook, which must all hold. Those that are not set are absent.
_TRIGGER = schemas.record(
    url=schemas.TEXT,
    device=schemas.array_of(schemas.TEXT),
    utm=schemas.record(),
    scrollDepth=schemas.COUNT,
    timeOnPageMs=schemas.COUNT,
    exitIntent=schemas.BOOL,
    returning=schemas.BOOL,
    event=schemas.TEXT,
)
#: `name` is the name under which the action is tracked.
_ACTION = schemas.record(**{"id": schemas.TEXT, "action": schemas.TEXT, "name": schemas.TEXT, "with": schemas.record()})
#: Without `frequency` a visitor sees the playbook on every visit.
_PLAYBOOK = schemas.record(
    id=schemas.ID,
    name=schemas.TEXT,
    version=schemas.COUNT,
    trigger=_TRIGGER,
    frequency=schemas.record(max=schemas.COUNT, perMs=schemas.COUNT),
    actions=schemas.array_of(_ACTION),
)


@playbooks.api(
    "GET",
    "/api/playbooks",
    permission=None,
    site_key=True,
    response={"tracking": schemas.BOOL, "playbooks": schemas.array_of(_PLAYBOOK)},
    statuses=(304,),
)
def list_playbooks(call: PageCaller) -> Any:
    """List the active playbooks of the site key's workspace, and whether their executions are tracked."""
    is_tracked = switches.is_on(current_settings(), call.workspace_id, "execution_tracking")
    response, _ = success(tracking=is_tracked, playbooks=load_active(call.workspace_id))
    response.headers["Cache-Control"] = _CACHE_CONTROL
    response.vary.add(SITE_KEY_HEADER)
    response.add_etag()
    response.make_conditional(flask.request)
    return response


def load_active(workspace_id: str) -> list[dict[str, Any]]:
    """The workspace's active playbooks in the form of the browser script, oldest first."""

    def load() -> list[dict[str, Any]]:
        with acting_as(workspace_id):
            workflows = published.list_playbooks()
        return [serialize(workflow) for workflow in workflows if _is_valid(workflow)]

    return workflow_cache.get(workspace_id, PAGE_TRIGGER, load)


def _is_valid(workflow: PublishedWorkflow) -> bool:
    """Whether a stored version can still be published: one from before a rule never reaches a browser."""
    problems = validate(workflow.definition, automation_type=PLAYBOOK, networks=ALL_NETWORKS)
    if problems:
        log.warning(
            "a playbook is not served, because its version is not valid", automation_id=workflow.automation_id,
            version=workflow.version, path=problems[0].path,
        )  # fmt: skip
    return not problems


def serialize(workflow: PublishedWorkflow) -> dict[str, Any]:
    """A playbook as the browser script gets it."""
    frequency = rules.build_frequency(workflow.definition)
    return {
        "id": workflow.automation_id,
        "name": workflow.automation_name,
        "version": workflow.version,
        "trigger": rules.build_trigger(workflow.definition),
        **({"frequency": frequency} if frequency else {}),
        "actions": rules.build_actions(workflow.definition),
    }
