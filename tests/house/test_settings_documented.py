"""docs/operating.md has every setting as the code has it, and no other."""

from __future__ import annotations

import re

import settings

ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)


def test_the_documentation_s_table_is_the_code_s_table():
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


def test_every_variable_of_the_contract_s_families_fills_one_field():
    attributes = [variable.attribute for variable in settings.VARIABLES]
    assert len(attributes) == len(set(attributes))
