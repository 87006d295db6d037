"""Every refusal as one problem document (RFC 9457), and every page's refusal as a plain page.

What is raised below the routes is turned into an answer here and nowhere else: a stack trace stays in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import flask
import structlog
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from models.database import CONNECTION_ERRORS
from models.errors import Conflict, InvalidDefinition, NotFound
from rules.problems import Problem, join_path

log = structlog.get_logger(__name__)

#: After so many seconds a client may ask again when PostgreSQL is away.
RETRY_AFTER_SECONDS = 5

#: The heading of a refusal's page, and what a person can do.
PAGE_TEXTS = {
    400: ("This could not be read", "Load the page again, and do it once more."),
    403: ("This is not allowed", ""),
    404: ("Nothing is here", "It may have been deleted, or belong to another workspace."),
    405: ("Not this way", "Begin again at the page that leads here."),
    409: ("Something changed meanwhile", "Look at it again before you decide."),
    413: ("This is too large", "Send less at once."),
    421: ("This host is not served", "Open Beckon at the address that its operator gave you."),
    422: ("Something is not right", "Mend what is named here, or leave it out."),
    429: ("Too much at once", "Wait a moment, then try again."),
    500: ("This is our fault", "Try it once more; if it happens again, report it with this number:"),
    503: ("Not at this moment", "Nothing was done. Try again in a few seconds."),
}


class ProblemError(Exception):
    """An answer that is not a success: its status, words for a person, and the fields at fault."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        problems: Sequence[Problem] = (),
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = list(problems)
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


def invalid_request(problems: Sequence[Problem]) -> ProblemError:
    """422 with the fields at fault."""
    return ProblemError(422, "The request is not valid.", problems)


def not_found(detail: str = "There is nothing here by that id.") -> ProblemError:
    """404, for what does not exist and for what is another workspace's alike."""
    return ProblemError(404, detail)


def serialize_problems(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Problems as they stand in an answer."""
    return [{"path": problem.path, "message": problem.message} for problem in problems]


def build_problem_response(error: ProblemError) -> flask.Response:
    """The problem document of a refusal."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "success": False,
        "errors": serialize_problems(error.problems),
    }
    response = flask.current_app.response_class(
        flask.json.dumps(body), error.status, mimetype="application/problem+json"
    )
    response.headers.update(error.headers)
    return response


def _build_response(error: ProblemError) -> flask.Response:
    if _wants_html():
        title, remedy = PAGE_TEXTS.get(error.status, (HTTPStatus(error.status).phrase, ""))
        number = flask.g.get("request_id", "") if error.status == 500 else ""
        page = flask.render_template("refusal.html", refusal=error, title=title, remedy=remedy, number=number)
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
            405, "This path does not take that method.", headers={"Allow": ", ".join(sorted(error.valid_methods or ()))}
        )
    details = {
        404: "There is nothing at this address.",
        413: "The body is larger than this path takes.",
        414: "The address is too long.",
    }
    return ProblemError(status, details.get(status, error.description or ""))


def register(app: flask.Flask) -> None:
    """Answer what is raised."""

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
            Problem(join_path("definition", problem.path) if problem.path else "definition", problem.message)
            for problem in error.problems
        ]
        return _build_response(invalid_request(problems))

    @app.errorhandler(HTTPException)
    def handle_http_exception(error: HTTPException) -> flask.Response | HTTPException:
        if (error.code or 500) < 400:
            return error
        return _build_response(_from_werkzeug(error))

    def handle_connection_error(error: Exception) -> flask.Response:
        log.error("postgresql is away", error=str(error).strip())
        problem_error = ProblemError(503, "The database is away; nothing was done.", retry_after=RETRY_AFTER_SECONDS)
        return _build_response(problem_error)

    for connection_error in CONNECTION_ERRORS:
        app.register_error_handler(connection_error, handle_connection_error)

    @app.errorhandler(Exception)
    def handle_unexpected(error: Exception) -> flask.Response:
        log.error("a request failed", exc_info=error)
        return _build_response(ProblemError(500, "Something went wrong on our side; the log has it."))
