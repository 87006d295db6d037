"""Definitions as the API and the pages check them: in another process, since templates take up to seconds to parse.

One that takes too long has a problem that says so, like any other that cannot be published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dashboard.access import current_settings
from dashboard.errors import ProblemError
from dashboard.parsing import parse_apart
from models.errors import InvalidDefinition
from models.reports.automations import AutomationDetail
from rules.definition_text import TextCheck, TextProblem, get_source
from rules.json_text import dump_exact_json
from rules.outbound_urls import Networks
from rules.parsers import read_problems, read_text_check
from rules.problems import Problem
from rules.source_edits import Edit


def get_text(row: AutomationDetail) -> str:
    """The text of the draft, else of the published version."""
    if row["has_draft"]:
        return get_source(row["draft_source"], row["draft"]) or ""
    return get_source(row["source"], row["definition"]) or ""


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


def check_text(text: str, automation_type: str | None = None, trigger: object = None) -> TextCheck:
    """The document in a text, the type that it was checked for, and its problems with their places. `trigger` replaces
    the document's. Raises `ProblemError` 429 and 503."""
    raw = text.encode("utf-8", "surrogatepass")
    try:
        checked = parse_apart(
            "definition_text", raw, automation_type=automation_type, networks=_list_networks(None), trigger=trigger
        )
    except ProblemError as error:
        type_: Any = automation_type or "workflow"
        return TextCheck(None, type_, [TextProblem("", _describe_cost(error))])
    return read_text_check(checked)


def require_valid_text(text: str, automation_type: str | None = None) -> TextCheck:
    """The same, of a text without problems. Raises `InvalidDefinition`."""
    checked = check_text(text, automation_type)
    if checked.problems:
        raise InvalidDefinition(checked.problems)
    return checked


def rewrite_text(source: str | None, definition: Any) -> str | None:
    """The text with the changes that make it another definition, so that comments stay; None without a text that can
    be parsed."""
    if source is None:
        return None
    edited: str | None = parse_apart("definition_rewrite", source.encode(), definition=definition)
    return edited


def edit_text(source: str, edits: Sequence[Sequence[Any]]) -> str:
    """The text with edits (operation, path, value, target). Raises `ProblemError` 422 with the edit's path, or where
    the text cannot be parsed."""
    edited: str = parse_apart("definition_edit", source.encode(), edits=[list(edit) for edit in edits])
    return edited


def read_text(source: str) -> Any:
    """The document in a text, valid or not. Raises `ProblemError` 422 where it cannot be parsed."""
    return parse_apart("definition_read", source.encode())


@dataclass(frozen=True)
class EditedText:
    """A text after its edits, its check, and the first and last line of the part that was asked for."""

    text: str
    check: TextCheck
    lines: tuple[int, int] | None
    #: What templates may use there, each with a sample value.
    variables: Sequence[tuple[str, Any]]


def edit_opened(
    text: str, automation_type: str, part: str, *, definition: Any, edits: Sequence[Edit], is_bounded: bool = True
) -> EditedText:
    """The text with the changes that make it `definition`, unless that is None, and then with edits.

    Raises `ProblemError` 422, 429 and 503; `is_bounded` as in `parse_apart`.
    """
    edited = parse_apart(
        "definition_form",
        text.encode("utf-8", "surrogatepass"),
        definition=definition,
        edits=[asdict(edit) for edit in edits],
        part=part,
        automation_type=automation_type,
        networks=_list_networks(None),
        is_bounded=is_bounded,
    )
    return EditedText(edited["text"], read_text_check(edited["check"]), edited["lines"], edited["variables"])


def _describe_cost(error: ProblemError) -> str:
    if error.status != 422:
        raise error
    return error.detail


def _list_networks(networks: Networks | None) -> list[str]:
    return [str(network) for network in (current_settings().webhook_allowed_networks if networks is None else networks)]
