"""Lists the data that a migration's down file removes, so that the operator confirms it before it is lost.

The statements are read, not run: tables and columns that are dropped, rows that are deleted. Bodies of functions are
skipped, because creating a function removes nothing.
"""

from __future__ import annotations

import re

_COMMENT = re.compile(r"--[^\n]*")
_FUNCTION_BODY = re.compile(r"\bas\s+(\$\w*\$).*?\1", re.IGNORECASE | re.DOTALL)
_NAMES = r"(?:if\s+exists\s+)?([\w.\"]+(?:\s*,\s*[\w.\"]+)*)"
_DROPPED_TABLES = re.compile(rf"\bdrop\s+table\s+{_NAMES}", re.IGNORECASE)
_ALTERED_TABLE = re.compile(r"\balter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?([\w.\"]+)([^;]*)", re.IGNORECASE)
_DROPPED_COLUMN = re.compile(r"\bdrop\s+column\s+(?:if\s+exists\s+)?([\w\"]+)", re.IGNORECASE)
_EMPTIED_TABLES = re.compile(rf"\b(?:delete\s+from|truncate(?:\s+table)?)\s+{_NAMES}", re.IGNORECASE)


def list_losses(sql: str) -> list[str]:
    """Describe what the statements remove, such as `table contacts`, `column users.name` or `rows of triggers`."""
    statements = _FUNCTION_BODY.sub("", _COMMENT.sub("", sql))
    tables = [f"table {name}" for names in _DROPPED_TABLES.findall(statements) for name in _split(names)]
    columns = [
        f"column {table}.{column}"
        for table, actions in _ALTERED_TABLE.findall(statements)
        for column in _DROPPED_COLUMN.findall(actions)
    ]
    rows = [f"rows of {name}" for names in _EMPTIED_TABLES.findall(statements) for name in _split(names)]
    return tables + columns + rows


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]
