"""Definitions as the API and the pages check them: in another process, since templates take up to seconds to parse.

One that takes too long has a problem that says so, like any other that cannot be published.
"""

from __future__ import annotations

from typing import Any

from dashboard.access import current_settings
from dashboard.errors import ProblemError
from dashboard.parsing import parse_apart
from models.errors import InvalidDefinition
from rules.definition_text import TextProblem
from rules.json_text import dump_exact_json
from rules.outbound_urls import Networks
from rules.parsers import read_problems, read_text_check
from rules.problems import Problem


def find_problems(
    definition: Any, automation_type: str, *, networks: Networks | None = None, is_bounded: bool = True
) -> list[Problem]:
    """The problems of a definition, whose URLs may reach `networks`, or else those of the settings.

    Raises `ProblemError` 429 and 503.
    """
    try:
        pairs = parse_apart(
            "definition",
            dump_exact_json(definition),
            is_bounded=is_bounded,
            automation_type=automation_type,
            networks=_list_networks(networks),
        )
    except ProblemError as error:
        return [Problem("", _describe_cost(error))]
    return read_problems(pairs)


def require_valid(definition: Any, automation_type: str) -> None:
    """Raise `InvalidDefinition` for a definition with problems."""
    problems = find_problems(definition, automation_type)
    if problems:
        raise InvalidDefinition(problems)


def check_text(text: str, automation_type: str) -> tuple[Any, list[TextProblem]]:
    """The document in a text, and its problems with their lines. Raises `ProblemError` 429 and 503."""
    raw = text.encode("utf-8", "surrogatepass")
    try:
        checked = parse_apart("definition_text", raw, automation_type=automation_type, networks=_list_networks(None))
    except ProblemError as error:
        return None, [TextProblem("", _describe_cost(error))]
    return read_text_check(checked)


def _describe_cost(error: ProblemError) -> str:
    if error.status != 422:
        raise error
    return error.detail


def _list_networks(networks: Networks | None) -> list[str]:
    return [str(network) for network in (current_settings().webhook_allowed_networks if networks is None else networks)]
