"""What a parser process does: named functions of bytes, each with a JSON value as its result.

A web process has large bodies, CSV, YAML and definitions parsed elsewhere (`dashboard/parsing`), so that no request
waits for another's. The functions are pure: they read no database, no settings and no clock. `answer` is the process's
side of a message; the web process's side is `read_answer`.
"""

from __future__ import annotations

import ipaddress
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from rules import tracking_bodies
from rules.body_json import BodyError, invalid_body, parse_body, parse_form, parse_signed_json
from rules.contact_columns import Column
from rules.contact_file import ContactFile, parse_contact_file
from rules.definition_text import TextCheck, TextProblem, check_text
from rules.json_text import dump_exact_json, load_exact_json
from rules.offered_variables import list_variables
from rules.outbound_urls import Networks
from rules.parser_messages import Request
from rules.parsing import DefinitionError, read
from rules.problems import Problem
from rules.source_edits import Edit, EditError, edit_text, rewrite
from rules.source_tree import Path, find_lines, parse_path
from rules.suppression_file import parse_suppression_file
from rules.tracking import TrackedAction, TrackedExecution
from rules.trigger_bodies import parse_entry, read_batch
from rules.trigger_requests import TriggerRequest
from rules.validation import validate

Parser = Callable[..., Any]


class ParserFailure(RuntimeError):
    """A parser failed: a fault of ours. The message is its traceback."""


def answer(request: Request) -> bytes:
    """Return the answer to a request: its result, or why the body is refused. Raises MemoryError."""
    try:
        return dump_exact_json({"result": PARSERS[request.parser](request.raw, **request.options)})
    except BodyError as error:
        refusal = {"status": error.status, "detail": error.detail, "problems": _list_problems(error.problems)}
        return dump_exact_json({"refusal": refusal})
    except MemoryError:
        raise
    except Exception:
        return dump_exact_json({"failure": traceback.format_exc()})


def read_answer(data: bytes) -> Any:
    """Return the result in an answer. Raises `BodyError` where the body is refused, or `ParserFailure`."""
    reply = load_exact_json(data)
    if "failure" in reply:
        raise ParserFailure(reply["failure"])
    if "refusal" in reply:
        refusal = reply["refusal"]
        raise BodyError(refusal["status"], refusal["detail"], read_problems(refusal["problems"]))
    return reply["result"]


def read_problems(pairs: Sequence[Sequence[str]]) -> list[Problem]:
    """Return the problems of an answer."""
    return [Problem(path, message) for path, message in pairs]


def read_request(entry: Mapping[str, Any]) -> TriggerRequest | list[Problem]:
    """Return one trigger of an answer of `triggers`."""
    if "problems" in entry:
        return read_problems(entry["problems"])
    return TriggerRequest(**{**entry, "body_hash": bytes.fromhex(entry["body_hash"])})


def read_execution(entry: Mapping[str, Any], default_id: str) -> TrackedExecution | list[Problem]:
    """Return one execution of an answer of `executions`; `default_id` is its id where the producer names none."""
    if "problems" in entry:
        return read_problems(entry["problems"])
    execution_id, *values, actions = entry["values"]
    values += [tuple([TrackedAction(*action) for action in actions])]
    return TrackedExecution(execution_id or default_id, *values)


def read_contact_file(fields: Mapping[str, Any]) -> ContactFile:
    """Return the file of an answer of `contacts`."""
    columns = [Column(*column) for column in fields["columns"]]
    return ContactFile(**{**fields, "columns": columns, "cells": dict(fields["cells"])})


def read_text_check(fields: Mapping[str, Any]) -> TextCheck:
    """Return the document, the type and the problems of an answer of `definition_text`."""
    return TextCheck(**{**fields, "problems": [TextProblem(**problem) for problem in fields["problems"]]})


def _parse_triggers(raw: bytes, max_values: int) -> list[dict[str, Any]]:
    return [
        {"problems": _list_problems(entry)}
        if isinstance(entry, list)
        else {**vars(entry), "body_hash": entry.body_hash.hex()}
        for entry in (parse_entry(*item) for item in enumerate(read_batch(raw, max_values)))
    ]


def _parse_executions(raw: bytes, max_values: int) -> list[dict[str, Any]]:
    entries = enumerate(tracking_bodies.read_batch(raw, max_values))
    return [_write_execution(tracking_bodies.parse_entry(*item, default_id="")) for item in entries]


def _write_execution(execution: TrackedExecution | list[Problem]) -> dict[str, Any]:
    if isinstance(execution, list):
        return {"problems": _list_problems(execution)}
    *values, actions = _list_values(execution)
    return {"values": [*values, [_list_values(action) for action in actions]]}


def _list_values(row: TrackedExecution | TrackedAction) -> list[Any]:
    """The values of a row in the order of its fields: their names would be most of a large answer."""
    return [getattr(row, field.name) for field in fields(row)]


def _parse_contacts(raw: bytes, choices: Mapping[str, str]) -> dict[str, Any]:
    contact_file = parse_contact_file(raw.decode("utf-8", "surrogatepass"), choices)
    return {**vars(contact_file), "cells": list(contact_file.cells.items())}


def _parse_suppressions(raw: bytes) -> dict[str, Any]:
    return parse_suppression_file(raw.decode("utf-8", "surrogatepass"))


def _check_text(
    raw: bytes, automation_type: str | None, networks: Sequence[str], trigger: object = None
) -> dict[str, Any]:
    text = raw.decode("utf-8", "surrogatepass")
    return asdict(check_text(text, automation_type, _read_networks(networks), trigger))


def _validate(raw: bytes, automation_type: str, networks: Sequence[str]) -> list[list[str]]:
    problems = validate(load_exact_json(raw), automation_type=automation_type, networks=_read_networks(networks))
    return _list_problems(problems)


def _rewrite(raw: bytes, definition: Any) -> str | None:
    try:
        return rewrite(raw.decode(), definition)
    except DefinitionError:
        return None


def _edit(raw: bytes, edits: Sequence[Sequence[Any]]) -> str:
    try:
        return edit_text(raw.decode(), [Edit(op, tuple(path), value, tuple(to)) for op, path, value, to in edits])
    except EditError as error:
        raise invalid_body([Problem(error.path or "edits", error.message)]) from None
    except DefinitionError as error:
        raise _refuse_source(error) from None


def _read_document(raw: bytes) -> Any:
    try:
        return read(raw.decode())
    except DefinitionError as error:
        raise _refuse_source(error) from None


def _refuse_source(error: DefinitionError) -> BodyError:
    return invalid_body([Problem("source", str(error))])


def _edit_form(
    raw: bytes,
    definition: Any,
    edits: Sequence[Mapping[str, Any]],
    part: str,
    automation_type: str,
    networks: Sequence[str],
) -> dict[str, Any]:
    text = raw.decode("utf-8", "surrogatepass")
    try:
        if definition is not None:
            text = rewrite(text, definition)
        text = edit_text(
            text, [Edit(**{**edit, "path": tuple(edit["path"]), "to": tuple(edit["to"])}) for edit in edits]
        )
    except EditError as error:
        raise invalid_body([Problem(error.path or "edits", error.message)]) from None
    except DefinitionError as error:
        raise _refuse_source(error) from None
    check = check_text(text, automation_type, _read_networks(networks))
    variables = [] if check.document is None else list_variables(check.document, _read_part(part))
    return {
        "text": text,
        "check": asdict(check),
        "lines": find_lines(text, part),
        "variables": [[variable.name, variable.sample] for variable in variables],
    }


def _read_part(part: str) -> Path:
    try:
        return parse_path(part)
    except ValueError:
        return ()


def _list_problems(problems: Sequence[Problem]) -> list[list[str]]:
    return [[problem.path, problem.message] for problem in problems]


def _read_networks(texts: Sequence[str]) -> Networks:
    return tuple(ipaddress.ip_network(text) for text in texts)


#: Each parser by the name that requests and metrics have.
PARSERS: dict[str, Parser] = {
    "json": parse_body,
    "signed_json": parse_signed_json,
    "form": parse_form,
    "report": tracking_bodies.parse_report,
    "executions": _parse_executions,
    "triggers": _parse_triggers,
    "contacts": _parse_contacts,
    "suppressions": _parse_suppressions,
    "definition": _validate,
    "definition_text": _check_text,
    "definition_rewrite": _rewrite,
    "definition_edit": _edit,
    "definition_form": _edit_form,
    "definition_read": _read_document,
}
