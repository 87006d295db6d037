"""Templates answer as Liquid does, by its golden suite; each difference is on purpose and listed here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rules.errors import InvalidRequest
from rules.templating import render

SUITE = Path(os.environ.get("TEST_SPECS") or Path(__file__).parents[3] / "shared" / "specs") / "golden-liquid.json"
#: What differs beside variables that do not exist, which are errors here: `not` is an operator, and two malformed
#: templates that Liquid refuses are harmless.
DIFFERENCES = {
    "tags, if, not is not a valid operator",
    "tags, case, unexpected when token, strict2",
    "tags, comment, incomplete tags are not parsed",
}
STRICT_VARIABLES = 64


def render_case(case: dict[str, Any]) -> str | None:
    """Return the text, or None where the template is refused."""
    try:
        return render(case["template"], case.get("data") or {})
    except InvalidRequest as error:
        return "unknown variable" if error.message.startswith("unknown variable") else None


def test_templates_answer_as_liquid_does() -> None:
    if not SUITE.exists():
        pytest.skip(f"the suite is not at {SUITE}; set TEST_SPECS to its folder")
    # Templates that load others are not supported, so that no template reads a file.
    cases = [case for case in json.loads(SUITE.read_text())["tests"] if not case.get("templates")]
    answers = [(case, render_case(case)) for case in cases]
    wrong = [(case, answer) for case, answer in answers if not is_right(case, answer)]

    strict = [case for case, answer in wrong if answer == "unknown variable"]
    others = {case["name"] for case, answer in wrong if answer != "unknown variable"}
    assert others == DIFFERENCES
    assert len(strict) == STRICT_VARIABLES


def is_right(case: dict[str, Any], answer: str | None) -> bool:
    """Whether the answer is Liquid's: an error of any kind for an invalid template."""
    if case.get("invalid"):
        return answer in (None, "unknown variable")
    return answer in case.get("results", [case.get("result")])


FACTS: dict[str, Any] = {
    "now": "2026-05-04T22:30:00Z",
    "payload": {
        "nil": 1,
        "limit": 2,
        "for": {"in": 3},
        "text": "a.nil",
        "items": [{"p": 2}, {}, {"p": None}, {"p": 1}],
    },
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ payload.nil }}{{ payload.limit }}{{ payload.for.in }}", "123"),
        ("{% if payload.limit == 2 %}{{ 'x.nil' }}{% endif %}{% raw %}{{ a.nil }}{% endraw %}", "x.nil{{ a.nil }}"),
        ("{% for item in payload.items limit: 1 %}{{ item.p }}{% endfor %}", "2"),
        ("{{ payload.items | sort: 'p' | map: 'p' | join: ',' }}", "1,2,,"),
        ("{{ 2.5 | round }} {{ -2.5 | round }} {{ 1.005 | round: 2 }} {{ '4.5' | round }}", "3 -3 1.01 5"),
        ("{{ 'May 4 2026 10:00 PM' | date: '%d.%m. %H:%M' }}", "04.05. 22:00"),
        ("{{ '10:00' | date: '%Y-%m-%d %H:%M' }}", "2026-05-04 10:00"),
        ("{{ 'Fri, 21 Nov 2025 09:55:06 -0600' | date: '%s' }}", "1763740506"),
        ("{{ '1152098955' | date: '%Y' }}{{ 'soon' | date: '%Y' }}{{ true | date: '%Y' }}", "2006soontrue"),
        ("{{ '2026-05-04' | date: nil }}{{ '2026-05-04' | date: '' }}", "2026-05-042026-05-04"),
        ("{% if false == blank and nil == blank and payload.nothing == blank and ' ' == blank %}yes{% endif %}", "yes"),
        ("{% if blank != 0 and true != blank and payload.items != blank %}yes{% endif %}", "yes"),
    ],
)  # fmt: skip
def test_what_the_library_does_in_another_way_is_liquids(source: str, text: str) -> None:
    assert render(source, FACTS) == text


@pytest.mark.parametrize(
    "source", ["{{ '2026-05-04' | date }}", "{{ now | date: '%Y', 'Mars' }}", "{{ 'a,1' | split: ',' | sort: 1, 2 }}"]
)
def test_wrong_arguments_are_errors(source: str) -> None:
    with pytest.raises(InvalidRequest):
        render(source, FACTS)
