"""The option --payload: a JSON object, or the name of a file with one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rules.json_text import load_json


def read_payload(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, Any]:
    """Read the JSON object in the option's text, or in the file that it names after an @. Raises BadParameter."""
    if text is None:
        return {}
    try:
        if text.startswith("@"):
            text = sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")
        payload = load_json(text)
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"cannot be read: {error}") from None
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise click.BadParameter("must be a JSON object")
    return payload
