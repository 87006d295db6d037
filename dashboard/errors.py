"""Errors as problem documents (RFC 9457) for the API, and as plain pages for people.

Exceptions raised below the routes become responses only here. Stack traces stay in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any

import flask
import structlog
from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from models.commit_outcome import CommitUnknown
from models.database import CONNECTION_ERRORS
from models.errors import Conflict, InvalidDefinition, NotFound
from rules.problems import Problem, join_path

log = structlog.get_logger(__name__)

#: Seconds after which a client may retry while PostgreSQL is unavailable.
RETRY_AFTER_SECONDS = 5
#: Methods whose requests ask for no change: the use of a session or key, which they may note, is not theirs.
_READING_METHODS = ("GET", "HEAD", "OPTIONS")

#: The heading of an error page, and what to do.
PAGE_TEXTS = {
    400: ("Bad request", "Reload the page and try again."),
    403: ("Not allowed", ""),
    404: ("Page not found", "It may have been deleted, or belong to another workspace."),
    405: ("Method not allowed", "Go back to the previous page and try again."),
    408: ("Request timed out", "Try again on a faster connection."),
    409: ("Conflict", "It changed in the meantime. Reload the page before you try again."),
    413: ("Request too large", "Send less data."),
    421: ("Unknown host", "Open Beckon at its configured address."),
    422: ("Invalid request", "Fix or remove the fields named above."),
    429: ("Too many requests", "Wait a moment, then try again."),
    500: ("Internal error", "Try again. If it fails again, report it with this request id:"),
    503: ("Temporarily unavailable", "Nothing was changed. Try again in a few seconds."),
}
#: What to do where nobody knows whether a change was saved.
_UNKNOWN_TEXT = (
    "The database connection was lost before the change was confirmed. It is unknown whether the change was saved. "
    "A repeat with the same Idempotency-Key or executionId is safe; without one, check first."
)
_UNKNOWN_PAGE_TEXTS = (
    "The database connection was lost before the change was confirmed. It is unknown whether the change was saved.",
    "Check whether it was saved before you try again.",
)


class ProblemError(Exception):
    """An error response: its status, a detail for people, and the invalid fields."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        problems: Sequence[Problem] = (),
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = list(problems)
        self.headers = dict(headers or {})
        #: What the problem document has beside the members of every one.
        self.fields = dict(fields or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


def invalid_request(problems: Sequence[Problem]) -> ProblemError:
    """422 with the invalid fields."""
    return ProblemError(422, "The request is not valid.", problems)


def not_found(detail: str = "There is nothing with that id.") -> ProblemError:
    """404, both for missing objects and for objects of other workspaces."""
    return ProblemError(404, detail)


def serialize_problems(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Problems as JSON objects of a response; those of a text have `line` and `column` where they have a place."""
    return [{name: value for name, value in asdict(problem).items() if value is not None} for problem in problems]


def build_problem_response(error: ProblemError) -> flask.Response:
    """The problem document of an error."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "success": False,
        "errors": serialize_problems(error.problems),
        **error.fields,
    }
    response = flask.current_app.response_class(
        flask.json.dumps(body), error.status, mimetype="application/problem+json"
    )
    response.headers.update(error.headers)
    return response


def _build_response(error: ProblemError, remedy: str | None = None) -> flask.Response:
    if _wants_html():
        title, usual_remedy = PAGE_TEXTS.get(error.status, (HTTPStatus(error.status).phrase, ""))
        remedy = usual_remedy if remedy is None else remedy
        request_id = flask.g.get("request_id", "") if error.status == 500 else ""
        page = flask.render_template("error.html", error=error, title=title, remedy=remedy, request_id=request_id)
        response = flask.make_response(page, error.status)
        response.headers.update(error.headers)
        return response
    return build_problem_response(error)


def _wants_html() -> bool:
    if flask.request.path.startswith("/api/"):
        return False
    return flask.request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _from_werkzeug(error: HTTPException) -> ProblemError:
    status = error.code or 500
    if isinstance(error, MethodNotAllowed):
        return ProblemError(
            405,
            "This path does not support this method.",
            headers={"Allow": ", ".join(sorted(error.valid_methods or ()))},
        )
    details = {
        404: "There is no page at this address.",
        413: "The body is larger than this path accepts.",
        414: "The URL is too long.",
    }
    return ProblemError(status, details.get(status, error.description or ""))


def register(app: flask.Flask) -> None:
    """Register the error handlers."""

    @app.errorhandler(ProblemError)
    def handle_problem(error: ProblemError) -> flask.Response:
        return _build_response(error)

    @app.errorhandler(NotFound)
    def handle_not_found(error: NotFound) -> flask.Response:
        return _build_response(not_found(error.message))

    @app.errorhandler(Conflict)
    def handle_conflict(error: Conflict) -> flask.Response:
        problems = [Problem(error.path, error.message)] if error.path else []
        return _build_response(ProblemError(409, error.message, problems, retry_after=error.retry_after))

    @app.errorhandler(InvalidDefinition)
    def handle_invalid_definition(error: InvalidDefinition) -> flask.Response:
        problems = [
            replace(problem, path=join_path("definition", problem.path) if problem.path else "definition")
            for problem in error.problems
        ]
        return _build_response(invalid_request(problems))

    # The body is read only where a route needs it: what is wrong with its chunks is found there.
    @app.errorhandler(ParseException)
    @app.errorhandler(NoMoreData)
    def handle_broken_body(_error: Exception) -> flask.Response:
        return _build_response(ProblemError(400, "The body is incomplete, or is not divided into chunks as HTTP asks."))

    @app.errorhandler(HTTPException)
    def handle_http_exception(error: HTTPException) -> flask.Response | HTTPException:
        if (error.code or 500) < 400:
            return error
        return _build_response(_from_werkzeug(error))

    @app.errorhandler(CommitUnknown)
    def handle_unknown_commit(error: CommitUnknown) -> flask.Response:
        if flask.request.method in _READING_METHODS:
            return handle_connection_error(error)
        log.error("a commit was not confirmed", error=str(error).strip())
        detail, remedy = _UNKNOWN_PAGE_TEXTS if _wants_html() else (_UNKNOWN_TEXT, None)
        return _build_response(ProblemError(503, detail, retry_after=RETRY_AFTER_SECONDS), remedy)

    def handle_connection_error(error: Exception) -> flask.Response:
        log.error("postgresql is unavailable", error=str(error).strip())
        problem_error = ProblemError(
            503, "The database is unavailable. Nothing was changed.", retry_after=RETRY_AFTER_SECONDS
        )
        return _build_response(problem_error)

    for connection_error in CONNECTION_ERRORS:
        app.register_error_handler(connection_error, handle_connection_error)

    @app.errorhandler(Exception)
    def handle_unexpected(error: Exception) -> flask.Response:
        log.error("a request failed", exc_info=error)
        return _build_response(ProblemError(500, "An internal error occurred. The log has the details."))
