"""The link behind each count: the list of exactly the executions that it counts.

Both come from `models.reports.counts`. A template marks a number up with the macro `count`, which names its source; a
test follows every marked number and refuses numbers without one.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from dashboard.pages import filter_forms
from models.execution_filters import ExecutionFilters
from models.reports.counts import COUNTS

#: The fields of the list's query that stand for the workspace's day.
_TODAY = {"accepted": {"time": "today"}, "sent": {"sent": "today"}}


def build_path(name: str, automation_id: str | None = None) -> str:
    """The list behind a count, of all automations or of one."""
    definition = COUNTS[name]
    today = _TODAY[definition.today] if definition.today else {}
    return build_list_path(replace(definition.filters, automation_id=automation_id), **today)


def build_held_path(pause: str) -> str:
    """The list of what waits for the end of a pause, named as in `models.holds`."""
    return build_list_path(ExecutionFilters(held_by=pause, test=False))


def build_list_path(filters: ExecutionFilters, **fields: str) -> str:
    """The list of the executions that filters select; `fields` are further fields of the list's form."""
    return "/executions?" + urlencode({**filter_forms.build_hidden_fields(filters), **fields})
