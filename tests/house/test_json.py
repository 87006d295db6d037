"""One module reads and writes JSON; any other import of a JSON library says why."""

from __future__ import annotations

import re

import settings

FOLDERS = ("dashboard", "ephemeral", "models", "providers", "rules", "sandbox", "tasks", "workers")
IMPORT = re.compile(r"^\s*(?:import|from) (?:json|orjson)\b(?!.*  # \w).*$", re.MULTILINE)


def test_json_libraries_are_imported_in_one_module_or_with_a_reason() -> None:
    files = [*settings.ROOT.glob("*.py"), *(file for name in FOLDERS for file in (settings.ROOT / name).rglob("*.py"))]
    assert [
        f"{file.relative_to(settings.ROOT)}: {line.strip()}"
        for file in files
        if file.name != "json_text.py"
        for line in IMPORT.findall(file.read_text(encoding="utf-8"))
    ] == []
    assert IMPORT.search("import json\n")
