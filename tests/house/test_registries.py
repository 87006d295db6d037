"""Channels, providers, actions, error classes: a made-up row reaches every list, and no list repeats a table."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings
from providers.registry import PROVIDERS
from rules.actions import ACTIONS
from rules.channels import CHANNELS
from rules.errors import BY_CLASS

ROOT = settings.ROOT
FOLDERS = ("rules", "models", "ephemeral", "providers", "sandbox", "tasks", "workers", "dashboard")
#: The tables, the engine's functions for each action, and how the sandbox imitates each provider.
REGISTRIES = {
    "rules/channels.py", "rules/actions.py", "rules/errors.py", "providers/registry.py", "tasks/executions.py",
    "tasks/steps/local_steps.py",
    "sandbox/callbacks.py", "sandbox/faults.py", "sandbox/provider_apis.py",
}  # fmt: skip

#: Runs with a table's source changed before anything imports it, and prints the lists that know the new row.
PROGRAM = """
import importlib.util, json, sys
from pathlib import Path

def patch(name, old, new):
    path = Path(name.replace(".", "/") + ".py")
    source = path.read_text(encoding="utf-8")
    assert old in source
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(source.replace(old, new, 1), str(path), "exec"), module.__dict__)
    setattr(__import__(name.split(".")[0]), name.split(".")[1], module)

patch("rules.channels", "_TABLE = (",
    '_TABLE = (Channel("pigeon", "Pigeon post", "pigeon post", "dovecote", "username", is_conversation=True),')
patch("rules.actions", "_TABLE = (", '_TABLE = (Action("wave", "Wave."),')
patch("rules.errors", "class PermanentError", '''class Eclipse(RetryableError):
    error_class, label, fault, short_remedy, remedy = "eclipse", "Eclipse", "network", "Wait", "Wait for the sun."

class PermanentError''')

import metrics
from dashboard.api import openapi
from dashboard.api.contacts import NewSuppression
from dashboard.api.executions import LIST_FIELDS, Filters
from dashboard.live import snapshot
from dashboard.pages import labels, remedies
from models import suppression
from models.reports.executions import describe_error
from rules import schema, validation
from rules.actions import ACTIONS
from sandbox import store
from tasks.intake import delivery_events
from tasks.steps import channels
from workers.commands import account
from workers.filter_options import build_filters

exposition = metrics.format_exposition().decode()
eclipsed = {"stage": "failed", "error": {"class": "eclipse"}, "skipped_because": None}
options = {"automation_id": None, "contact_id": None, "error_class": "eclipse", "since": None, "until": None}
definition_schema = json.dumps(schema.build_json_schema())
print(json.dumps({
    "metrics: sends": 'channel="pigeon"' in exposition and 'provider="dovecote"' in exposition,
    "metrics: actions": 'type="wave"' in exposition,
    "labels": labels.CHANNELS.get("pigeon") == "Pigeon post",
    "addresses": channels.ADDRESS_FIELDS.get("pigeon") == "username",
    "send_message": "pigeon" in definition_schema,
    "actions of the schema": '"wave"' in definition_schema,
    "API: suppressions": "pigeon" in json.dumps(NewSuppression.model_json_schema()),
    "inbound": delivery_events.INBOUND_CHANNELS.get("dovecote") == "pigeon",
    "sandbox": "dovecote" in store.PROVIDER_NAMES,
    "accounts": "pigeon" in account.CONVERSATION_CHANNELS,
    "metrics: retries": 'reason="eclipse"' in exposition,
    "error labels, the choices of the page's filter": labels.ERRORS.get("eclipse") == "Eclipse",
    "remedy": remedies.find_remedy(eclipsed).text == "Wait for the sun.",
    "short remedy": snapshot._describe_next({"status": "failed", "error_class": "eclipse"}, None) == "Wait",
    "retryable": describe_error("eclipse", None)["retryable"],
    "API: filter": not Filters(errorClass="eclipse").matches_nothing(),
    "API: error": "eclipse" in json.dumps(LIST_FIELDS),
    "CLI: filter": build_filters(options).error_class == "eclipse",
}))
"""


def test_a_made_up_row_of_each_table_is_in_every_list():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    lists = json.loads(result.stdout)
    assert not [name for name, knows in lists.items() if not knows]


def _list_literals(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    """Each literal list of texts with its line: tuples, lists, sets, the keys of dicts and `Literal[...]`."""
    for node in ast.walk(tree):
        elements = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", None)
        if elements is None:
            continue
        texts = {element.value for element in elements if isinstance(element, ast.Constant)}
        if len(texts) == len(elements) and all(isinstance(text, str) for text in texts):
            yield node.lineno, texts  # type: ignore[attr-defined]


@pytest.mark.parametrize("names", [set(CHANNELS), set(PROVIDERS), set(ACTIONS), set(BY_CLASS)], ids=lambda n: min(n))
def test_no_list_repeats_a_table(names):
    repeated = [
        f"{path}:{line}"
        for path in _list_sources()
        for line, texts in _list_literals(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if len(texts) > 1 and texts <= names and path not in REGISTRIES
    ]
    assert not repeated, "derive these from the table"


def _list_sources() -> list[str]:
    inside = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    return sorted(str(Path(file).relative_to(ROOT)) for file in [*inside, *ROOT.glob("*.py")])
