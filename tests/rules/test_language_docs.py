"""The tables of `docs/workflow-language.md` are those of the code, row for row, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from rules import not_yet
from rules.actions import ACTIONS, Action
from rules.definition import read
from rules.language import RULES, TRIGGERS, trigger_shape
from rules.scope import AUTOMATION, CONTACT, EXECUTION
from rules.shapes import Shape
from rules.structures import Object
from rules.validation import validate

PAGE = Path(__file__).parents[2] / "docs" / "workflow-language.md"


def fields(shapes: Mapping[str, Shape], required: frozenset[str]) -> str:
    words = [f"`{name}`{' *' if name in required else ''} ({shape.words})" for name, shape in shapes.items()]
    return ", ".join(words) or "none"


def action_row(action: Action) -> str:
    queue = f"`{action.queue}`" if action.queue else "none"
    beside = ", ".join(f"`{name}`{' *' if name in action.required_beside else ''}" for name in action.beside) or "none"
    later = " Not in this version." if action.name in not_yet.ACTIONS else ""
    return (
        f"| `{action.name}` | {action.purpose}{later} | {fields(action.fields, action.required)} | {beside} | {queue} |"
    )


def trigger_row(name: str) -> str:
    later = " Not in this version." if name in not_yet.TRIGGERS else ""
    shape = trigger_shape(name).fields["with"]
    assert isinstance(shape, Object)
    return f"| `{name}` | {TRIGGERS[name].purpose}{later} | {fields(shape.fields, shape.required)} |"


def rule_row(name: str, shape: Shape) -> str:
    inner = fields(shape.fields, shape.required) if isinstance(shape, Object) else shape.words
    return f"| `{name}` | {inner} |"


TABLES = {
    "actions": [
        "| action | what it does | under `with` | beside `action` | queue |",
        "| --- | --- | --- | --- | --- |",
        *map(action_row, ACTIONS.values()),
    ],
    "triggers": [
        "| type | when | under `with` |",
        "| --- | --- | --- |",
        *map(trigger_row, TRIGGERS),
    ],
    "rules": [
        "| rule | value |",
        "| --- | --- |",
        *(rule_row(name, shape) for name, shape in RULES.fields.items()),
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
def test_a_table_says_what_the_code_does(name: str) -> None:
    found = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert found
    assert found[1].splitlines() == TABLES[name]


def test_every_example_is_valid() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        assert validate(read(example)) == []
