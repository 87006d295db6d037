"""The resources of the API, and its OpenAPI document."""

from __future__ import annotations

from functools import cache
from typing import Any

import flask

from dashboard.access import current_settings
from dashboard.api import openapi
from dashboard.api.active_versions import active_versions
from dashboard.api.analytics import analytics
from dashboard.api.analytics_export import analytics_export
from dashboard.api.audit import audit_log
from dashboard.api.automation_versions import automation_versions
from dashboard.api.automations import automations
from dashboard.api.channels import channels
from dashboard.api.contact_privacy import contacts
from dashboard.api.definition_edits import definition_edits
from dashboard.api.drafts import drafts
from dashboard.api.duplicates import duplicates
from dashboard.api.executions import executions
from dashboard.api.experiments import experiments
from dashboard.api.forecasts import forecasts
from dashboard.api.health import health
from dashboard.api.invitations import invitations
from dashboard.api.keys import keys
from dashboard.api.members import members
from dashboard.api.model_settings import model_settings
from dashboard.api.monitor import monitor
from dashboard.api.playbook_previews import playbook_previews
from dashboard.api.playbooks import playbooks
from dashboard.api.possible_opt_outs import possible_opt_outs
from dashboard.api.preferences import preferences
from dashboard.api.proposals import proposals
from dashboard.api.queues import queues
from dashboard.api.runs import runs
from dashboard.api.search import search
from dashboard.api.site_keys import site_keys
from dashboard.api.suppressions import suppressions
from dashboard.api.switches import switches
from dashboard.api.test_runs import test_runs
from dashboard.api.tracked_executions import tracked_executions
from dashboard.api.tracking import tracking
from dashboard.api.triggers import triggers
from dashboard.api.webhook_secrets import webhook_secrets
from dashboard.resource import Operation, Resource
from rules.json_text import dump_json

description = Resource("description")

RESOURCES: tuple[Resource, ...] = (
    triggers, tracking, automations, executions, contacts, keys, invitations, members, queues, analytics, monitor, runs,
    switches, model_settings, health, search, description, channels, audit_log, preferences, site_keys, test_runs,
    tracked_executions, playbooks, analytics_export,
    playbook_previews, webhook_secrets, suppressions, possible_opt_outs, drafts, automation_versions, definition_edits,
    experiments, duplicates, active_versions,
    forecasts, proposals,
)  # fmt: skip


@description.api("GET", "/api/openapi.json", permission=None, response={})
def describe() -> Any:
    """Get this document."""
    return flask.Response(_write_document(current_settings().url), mimetype="application/json")


@cache
def _write_document(url: str) -> str:
    # Anybody may ask for it, and it takes a fifth of a second.
    return dump_json(openapi.build_document(list_operations(), url))


def list_operations() -> list[Operation]:
    """The declarations of all API routes."""
    return [operation for resource in RESOURCES for operation in resource.operations]
