"""What a parser process does: named functions of bytes, each with a JSON value as its result.

A web process has large bodies, CSV, YAML and definitions parsed elsewhere (`dashboard/parsing`), so that no request
waits for another's. The functions are pure: they read no database, no settings and no clock. `answer` is the process's
side of a message; the web process's side is `read_answer`.
"""

from __future__ import annotations

import ipaddress
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rules.body_json import BodyError, parse_body, parse_form, parse_json, parse_signed_json
from rules.contact_file import ContactFile, parse_contact_file
from rules.definition_text import TextProblem, check_text
from rules.json_text import clean_json, dump_exact_json, has_more_values, has_unstorable, load_exact_json, load_json
from rules.outbound_urls import Networks
from rules.parser_messages import Request
from rules.problems import Problem
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


def parse_report(raw: bytes, max_values: int) -> Any:
    """Return the JSON value of a report, cleaned of what cannot be stored. Raises `BodyError` 413 and 400."""
    if has_more_values(raw, max_values):
        raise BodyError(413, "The body has too many values.")
    if has_unstorable(raw):
        return clean_json(parse_json(raw))
    try:
        return load_json(raw.decode())
    except ValueError:
        # Slower, and says where the fault is.
        return parse_json(raw)


def read_problems(pairs: Sequence[Sequence[str]]) -> list[Problem]:
    """Return the problems of an answer."""
    return [Problem(path, message) for path, message in pairs]


def read_requests(entries: Sequence[Mapping[str, Any]]) -> list[TriggerRequest | list[Problem]]:
    """Return the triggers of an answer of `triggers`."""
    return [
        read_problems(entry["problems"])
        if "problems" in entry
        else TriggerRequest(**{**entry, "body_hash": bytes.fromhex(entry["body_hash"])})
        for entry in entries
    ]


def read_contact_file(fields: Mapping[str, Any]) -> ContactFile:
    """Return the file of an answer of `contacts`."""
    return ContactFile(**{**fields, "cells": dict(fields["cells"])})


def read_text_check(fields: Mapping[str, Any]) -> tuple[Any, list[TextProblem]]:
    """Return the document and the problems of an answer of `definition_text`."""
    return fields["document"], [TextProblem(**problem) for problem in fields["problems"]]


def _parse_triggers(raw: bytes, max_values: int) -> list[dict[str, Any]]:
    return [
        {"problems": _list_problems(entry)}
        if isinstance(entry, list)
        else {**vars(entry), "body_hash": entry.body_hash.hex()}
        for entry in (parse_entry(*item) for item in enumerate(read_batch(raw, max_values)))
    ]


def _parse_contacts(raw: bytes) -> dict[str, Any]:
    contact_file = parse_contact_file(raw.decode("utf-8", "surrogatepass"))
    return {**vars(contact_file), "cells": list(contact_file.cells.items())}


def _check_text(raw: bytes, automation_type: str, networks: Sequence[str]) -> dict[str, Any]:
    text = raw.decode("utf-8", "surrogatepass")
    document, problems = check_text(text, automation_type, _read_networks(networks))
    return {"document": document, "problems": [asdict(problem) for problem in problems]}


def _validate(raw: bytes, automation_type: str, networks: Sequence[str]) -> list[list[str]]:
    problems = validate(load_exact_json(raw), automation_type=automation_type, networks=_read_networks(networks))
    return _list_problems(problems)


def _list_problems(problems: Sequence[Problem]) -> list[list[str]]:
    return [[problem.path, problem.message] for problem in problems]


def _read_networks(texts: Sequence[str]) -> Networks:
    return tuple(ipaddress.ip_network(text) for text in texts)


#: Each parser by the name that requests and metrics have.
PARSERS: dict[str, Parser] = {
    "json": parse_body,
    "signed_json": parse_signed_json,
    "form": parse_form,
    "report": parse_report,
    "triggers": _parse_triggers,
    "contacts": _parse_contacts,
    "definition": _validate,
    "definition_text": _check_text,
}
