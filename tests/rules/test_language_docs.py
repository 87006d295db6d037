"""The tables of `docs/workflow-language.md` match the code row by row, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from rules.actions import ACTIONS, Action
from rules.containers import Object
from rules.definition import read
from rules.field_types import FieldType
from rules.language import RULES, TRIGGERS, build_trigger_object, infer_type
from rules.scope import AUTOMATION, CONTACT, EXECUTION
from rules.validation import validate

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "workflow-language.md"


def format_fields(field_types: Mapping[str, FieldType], required: frozenset[str]) -> str:
    descriptions = [
        f"`{name}`{' *' if name in required else ''} ({field_type.label})" for name, field_type in field_types.items()
    ]
    return ", ".join(descriptions) or "none"


def format_action_row(action: Action) -> str:
    queue = f"`{action.queue}`" if action.queue else "none"
    beside = (
        ", ".join(f"`{name}`{' *' if name in action.required_step_fields else ''}" for name in action.step_fields)
        or "none"
    )
    fields = format_fields(action.fields, action.required)
    return f"| `{action.name}` | {action.purpose} | {fields} | {beside} | {queue} |"


def format_trigger_row(name: str) -> str:
    fields_object = build_trigger_object(name).fields["with"]
    assert isinstance(fields_object, Object)
    fields = format_fields(fields_object.fields, fields_object.required)
    return f"| `{name}` | {TRIGGERS[name].purpose} | {fields} |"


def format_rule_row(name: str, field_type: FieldType) -> str:
    inner = (
        format_fields(field_type.fields, field_type.required) if isinstance(field_type, Object) else field_type.label
    )
    return f"| `{name}` | {inner} |"


TABLES = {
    "actions": [
        "| action | what it does | under `with` | beside `action` | queue |",
        "| --- | --- | --- | --- | --- |",
        *map(format_action_row, ACTIONS.values()),
    ],
    "triggers": [
        "| type | when | under `with` |",
        "| --- | --- | --- |",
        *map(format_trigger_row, TRIGGERS),
    ],
    "rules": [
        "| rule | value |",
        "| --- | --- |",
        *(format_rule_row(name, field_type) for name, field_type in RULES.fields.items()),
    ],
    "variables": [
        "| variable | fields |",
        "| --- | --- |",
        *(
            f"| `{root}` | {', '.join(f'`{name}`' for name in names)} |"
            for root, names in (("contact", CONTACT), ("automation", AUTOMATION), ("execution", EXECUTION))
        ),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_matches_the_code(name: str) -> None:
    match = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert match
    assert match[1].splitlines() == TABLES[name]


def test_every_example_is_valid() -> None:
    pages = PAGE.read_text() + (DOCS / "playbooks.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", pages, re.DOTALL)
    assert len(examples) > 1
    for example in examples:
        document = read(example)
        assert validate(document, automation_type=infer_type(document)) == []
