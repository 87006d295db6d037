"""The page that says why a contact was not messaged knows every rule and every class of error that the code knows."""

from __future__ import annotations

import re
from pathlib import Path

import settings
from dashboard.pages import words
from rules.errors import BY_CLASS

ROOT = settings.ROOT
PAGE = (ROOT / "docs" / "eligibility.md").read_text(encoding="utf-8")
#: How the code names a rule: in the skip that it makes, and where an operator ends what is in flight.
JUDGED = re.compile(r'\b[sS]kip\(\s*"(\w+)"')
ENDED = re.compile(r'"rule": "(\w+)"|"(\w+)", detail\b')


def _rules() -> set[str]:
    judged = {name for folder in ("rules", "tasks") for name in JUDGED.findall(_told(*(ROOT / folder).glob("*.py")))}
    ended = ENDED.findall(_told(ROOT / "tasks" / "operators.py", ROOT / "models" / "execution.py"))
    return judged | {name for found in ended for name in found if name}


def _told(*files: Path) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _first_column(heading: str) -> set[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}


def test_every_rule_is_explained_and_has_words_on_the_pages() -> None:
    explained = _first_column("It was skipped") | _first_column("No follow-up came")
    assert explained == _rules()
    assert set(words.RULES) == _rules()


def test_every_class_of_error_is_explained() -> None:
    assert _first_column("It failed") == set(BY_CLASS)
    assert set(words.ERRORS) == set(BY_CLASS)
