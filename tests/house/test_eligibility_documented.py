"""docs/eligibility.md explains every rule and every error class of the code."""

from __future__ import annotations

import re
from pathlib import Path

import settings
from dashboard.pages import labels
from rules.errors import BY_CLASS

ROOT = settings.ROOT
PAGE = (ROOT / "docs" / "eligibility.md").read_text(encoding="utf-8")
#: How the code names a rule: in a skip, and where an operator ends an execution in flight.
SKIP_RULE = re.compile(r'\b(?:Skip|build_skip)\(\s*"(\w+)"')
OPERATOR_RULE = re.compile(r'"rule": "(\w+)"|"(\w+)", detail\b')


def _list_rules() -> set[str]:
    skip_rules = {
        name for folder in ("rules", "tasks") for name in SKIP_RULE.findall(_read_files(*(ROOT / folder).rglob("*.py")))
    }
    operator_rules = OPERATOR_RULE.findall(
        _read_files(
            ROOT / "tasks" / "operators" / "actions.py",
            ROOT / "tasks" / "operators" / "contacts.py",
            ROOT / "models" / "execution.py",
        )
    )
    return skip_rules | {name for groups in operator_rules for name in groups if name}


def _read_files(*files: Path) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _list_first_column(heading: str) -> set[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}


def test_every_rule_is_explained_and_has_a_label() -> None:
    explained = _list_first_column("It was skipped") | _list_first_column("No follow-up came")
    assert explained == _list_rules()
    assert set(labels.RULES) == _list_rules()


def test_every_class_of_error_is_explained_with_whose_fault_it_is() -> None:
    section = PAGE.split("## It failed\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    faults = [(name, fault.strip()) for names, fault in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(faults) == sorted((name, error.fault) for name, error in BY_CLASS.items())
