"""What an answer to a batch means for each of its entries. Pure: nothing is sent or counted here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beckon_client.entries import Entry, Kind
from beckon_client.errors import DeliveryError, RejectedError
from beckon_client.retries import is_temporary
from beckon_client.schema import FieldProblem
from beckon_client.transport import Answer

#: After so many internal errors in a row the entries are sent apart, so that one of them cannot stop the others.
MAX_INTERNAL_ERRORS = 8


@dataclass
class Outcome:
    """What became of a batch: who was delivered, who failed, and what to send again, in groups."""

    delivered: list[Entry] = field(default_factory=list)
    accepted: int = 0
    duplicates: int = 0
    #: False while execution tracking is switched off: Beckon accepted the entries and stored nothing.
    is_stored: bool = True
    failures: list[tuple[Entry, DeliveryError]] = field(default_factory=list)
    again: list[list[Entry]] = field(default_factory=list)
    #: Whether to wait before the next request, and for how many seconds at least.
    is_delayed: bool = False
    retry_after: float | None = None


def judge(kind: Kind, entries: Sequence[Entry], answer: Answer, attempt: int) -> Outcome:
    """The outcome of the batch, at the attempt with this number since the last success."""
    if 200 <= answer.status < 300:
        return _judge_accepted(kind, entries, answer.body)
    if is_temporary(answer.status, answer.retry_after) and not (answer.status == 500 and attempt > MAX_INTERNAL_ERRORS):
        return Outcome(again=[list(entries)], is_delayed=True, retry_after=answer.retry_after)
    if answer.status in (400, 422) and len(entries) > 1:
        by_index = _group_problems(kind, answer.body.get("errors"))
        if by_index.keys() & set(range(len(entries))):
            return _leave_out(entries, answer, by_index)
    if answer.status in (400, 413, 422, 500) and len(entries) > 1:
        middle = len(entries) // 2
        return Outcome(again=[list(entries[:middle]), list(entries[middle:])])
    errors = [problem for problems in _group_problems(kind, answer.body.get("errors")).values() for problem in problems]
    return Outcome(failures=[(entry, build_rejection(answer, entry.body, errors)) for entry in entries])


def _judge_accepted(kind: Kind, entries: Sequence[Entry], body: Mapping[str, Any]) -> Outcome:
    outcome = Outcome(
        accepted=int(body.get("accepted", 0)),
        duplicates=int(body.get("duplicates", 0)),
        is_stored=body.get("tracked") is not False,
    )
    rejected = {rejection["index"]: rejection for rejection in body.get("rejected", ())}
    again = []
    for index, entry in enumerate(entries):
        rejection = rejected.get(index)
        if rejection is None:
            outcome.delivered.append(entry)
        elif rejection.get("retryAfter") is not None:
            again.append(entry)
            outcome.is_delayed, outcome.retry_after = True, float(rejection["retryAfter"])
        else:
            problems = [_strip_prefix(kind, problem)[1] for problem in rejection.get("errors", ())]
            error = RejectedError(
                "Beckon rejected this", status=rejection.get("status", 422), errors=problems, body=entry.body
            )
            outcome.failures.append((entry, error))
    outcome.again = [again] if again else []
    return outcome


def _leave_out(entries: Sequence[Entry], answer: Answer, by_index: Mapping[int | None, list[FieldProblem]]) -> Outcome:
    """The whole batch was refused for the characters or numbers of some entries: send the others again."""
    others = [entry for index, entry in enumerate(entries) if index not in by_index]
    failures: list[tuple[Entry, DeliveryError]] = [
        (entry, build_rejection(answer, entry.body, by_index[index]))
        for index, entry in enumerate(entries)
        if index in by_index
    ]
    return Outcome(failures=failures, again=[others] if others else [])


def _group_problems(kind: Kind, problems: Any) -> dict[int | None, list[FieldProblem]]:
    """The problems by the index of their entry, with paths within it; None for those of no entry."""
    by_index: dict[int | None, list[FieldProblem]] = {}
    for problem in problems if isinstance(problems, list) else ():
        index, stripped = _strip_prefix(kind, problem)
        by_index.setdefault(index, []).append(stripped)
    return by_index


def _strip_prefix(kind: Kind, problem: Mapping[str, Any]) -> tuple[int | None, FieldProblem]:
    path, message = str(problem.get("path", "")), str(problem.get("message", ""))
    match = re.match(rf"{kind.list_name}\[(\d+)\]\.?", path)
    if match is None:
        return None, {"path": path, "message": message}
    return int(match[1]), {"path": path[match.end() :], "message": message}


def build_rejection(answer: Answer, body: Mapping[str, Any], errors: Sequence[FieldProblem]) -> RejectedError:
    """The error of an answer that no retry can change."""
    detail = str(answer.body.get("detail") or "")
    if 300 <= answer.status < 400:
        detail = "The URL redirects elsewhere, and the key is not sent there. Set BECKON_URL to the final address."
    return RejectedError(
        detail or "Beckon refused the request.", status=answer.status, errors=errors, body=body,
        retry_after=answer.retry_after,
    )  # fmt: skip
