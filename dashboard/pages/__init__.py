"""The pages for people."""

from __future__ import annotations

from dashboard.pages.account import account_pages
from dashboard.pages.analytics import analytics_pages
from dashboard.pages.audit import audit_pages
from dashboard.pages.automation import automation_detail_pages
from dashboard.pages.automation_form import automation_form_pages
from dashboard.pages.automations import automation_pages
from dashboard.pages.bulk import bulk_pages
from dashboard.pages.channels import channels_pages
from dashboard.pages.contact import contact_pages
from dashboard.pages.contact_import import contact_import_pages
from dashboard.pages.contact_merge import contact_merge_pages
from dashboard.pages.contact_privacy import contact_privacy_pages
from dashboard.pages.contacts import contacts_pages
from dashboard.pages.descriptions import description_pages
from dashboard.pages.execution import execution_pages
from dashboard.pages.executions import executions_pages
from dashboard.pages.experiments import experiment_pages
from dashboard.pages.failure_export import failure_export_pages
from dashboard.pages.failures import failures_pages
from dashboard.pages.health import health_pages
from dashboard.pages.invitation import invitation_pages
from dashboard.pages.keys import keys_pages
from dashboard.pages.members import members_pages
from dashboard.pages.monitor import monitor_pages
from dashboard.pages.overview import overview_pages
from dashboard.pages.password_reset import password_reset_pages
from dashboard.pages.pending import pending_pages
from dashboard.pages.playbook_editor import playbook_pages
from dashboard.pages.playbook_preview import preview_pages
from dashboard.pages.possible_opt_outs import possible_opt_out_pages
from dashboard.pages.queues import queues_pages
from dashboard.pages.retry_statistics import retry_pages
from dashboard.pages.search import search_pages
from dashboard.pages.settings import settings_pages
from dashboard.pages.shared_routes import shared_pages
from dashboard.pages.sign_in import sign_in_pages
from dashboard.pages.suppressions import suppression_pages
from dashboard.pages.test_runs import test_run_pages
from dashboard.pages.tracked_executions import tracked_execution_pages
from dashboard.pages.trigger_tests import trigger_test_pages
from dashboard.pages.unsubscribe import unsubscribe_pages
from dashboard.pages.versions import version_pages
from dashboard.pages.workflow_editor import workflow_pages
from dashboard.pages.workflow_forecast import workflow_forecast_pages

BLUEPRINTS = (
    sign_in_pages,
    invitation_pages,
    password_reset_pages,
    unsubscribe_pages,
    account_pages,
    shared_pages,
    overview_pages,
    automation_pages,
    automation_form_pages,
    automation_detail_pages,
    playbook_pages,
    workflow_pages,
    workflow_forecast_pages,
    description_pages,
    preview_pages,
    version_pages,
    experiment_pages,
    executions_pages,
    tracked_execution_pages,
    bulk_pages,
    execution_pages,
    failure_export_pages,
    failures_pages,
    retry_pages,
    contacts_pages,
    contact_import_pages,
    contact_pages,
    contact_privacy_pages,
    contact_merge_pages,
    suppression_pages,
    possible_opt_out_pages,
    monitor_pages,
    pending_pages,
    queues_pages,
    analytics_pages,
    search_pages,
    trigger_test_pages,
    test_run_pages,
    health_pages,
    settings_pages,
    channels_pages,
    keys_pages,
    audit_pages,
    members_pages,
)
