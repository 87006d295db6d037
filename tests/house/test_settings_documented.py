"""docs/operating.md has every setting as the code has it, and no other."""

from __future__ import annotations

import re

import settings

ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)


def test_the_documented_settings_equal_the_declared_ones():
    text = (settings.ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    documented = {name: rest for name, *rest in ROW.findall(text)}
    coded = {
        variable.name: [
            variable.kind.expected,
            f"`{variable.default_text}`" if variable.default_text else "",
            variable.explanation,
        ]
        for variable in settings.VARIABLES
    }
    assert documented == coded


def test_every_variable_sets_a_field_of_its_own():
    attributes = [variable.attribute for variable in settings.VARIABLES]
    assert len(attributes) == len(set(attributes))
