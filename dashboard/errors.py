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
from models.refusals import Conflict, InvalidDefinition, NotThere
from rules.problems import Problem, below

log = structlog.get_logger(__name__)

#: After so many seconds a client may ask again when PostgreSQL is away.
RETRY_AFTER_SECONDS = 5

#: The heading of a refusal's page, and what a person can do.
FOR_PEOPLE = {
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


class Refusal(Exception):
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


def invalid(problems: Sequence[Problem]) -> Refusal:
    """422 with the fields at fault."""
    return Refusal(422, "The request is not valid.", problems)


def not_there(detail: str = "There is nothing here by that id.") -> Refusal:
    """404, for what does not exist and for what is another workspace's alike."""
    return Refusal(404, detail)


def shown(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Problems as they stand in an answer."""
    return [{"path": problem.path, "message": problem.message} for problem in problems]


def document(refusal: Refusal) -> flask.Response:
    """The problem document of a refusal."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "success": False,
        "errors": shown(refusal.problems),
    }
    answer = flask.current_app.response_class(
        flask.json.dumps(body), refusal.status, mimetype="application/problem+json"
    )
    answer.headers.update(refusal.headers)
    return answer


def _answer(refusal: Refusal) -> flask.Response:
    if _is_for_a_person():
        title, remedy = FOR_PEOPLE.get(refusal.status, (HTTPStatus(refusal.status).phrase, ""))
        number = flask.g.get("request_id", "") if refusal.status == 500 else ""
        page = flask.render_template("refusal.html", refusal=refusal, title=title, remedy=remedy, number=number)
        answer = flask.make_response(page, refusal.status)
        answer.headers.update(refusal.headers)
        return answer
    return document(refusal)


def _is_for_a_person() -> bool:
    if flask.request.path.startswith("/api/"):
        return False
    return flask.request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _from_werkzeug(error: HTTPException) -> Refusal:
    status = error.code or 500
    if isinstance(error, MethodNotAllowed):
        return Refusal(
            405, "This path does not take that method.", headers={"Allow": ", ".join(sorted(error.valid_methods or ()))}
        )
    words = {
        404: "There is nothing at this address.",
        413: "The body is larger than this path takes.",
        414: "The address is too long.",
    }
    return Refusal(status, words.get(status, error.description or ""))


def register(app: flask.Flask) -> None:
    """Answer what is raised."""

    @app.errorhandler(Refusal)
    def refused(error: Refusal) -> flask.Response:
        return _answer(error)

    @app.errorhandler(NotThere)
    def missing(error: NotThere) -> flask.Response:
        return _answer(not_there(error.message))

    @app.errorhandler(Conflict)
    def conflicting(error: Conflict) -> flask.Response:
        problems = [Problem(error.path, error.message)] if error.path else []
        return _answer(Refusal(409, error.message, problems, retry_after=error.retry_after))

    @app.errorhandler(InvalidDefinition)
    def unpublishable(error: InvalidDefinition) -> flask.Response:
        problems = [
            Problem(below("definition", one.path) if one.path else "definition", one.message) for one in error.problems
        ]
        return _answer(invalid(problems))

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> flask.Response | HTTPException:
        if (error.code or 500) < 400:
            return error
        return _answer(_from_werkzeug(error))

    def unavailable(error: Exception) -> flask.Response:
        log.error("postgresql is away", error=str(error).strip())
        refusal = Refusal(503, "The database is away; nothing was done.", retry_after=RETRY_AFTER_SECONDS)
        return _answer(refusal)

    for connection_error in CONNECTION_ERRORS:
        app.register_error_handler(connection_error, unavailable)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> flask.Response:
        log.error("a request failed", exc_info=error)
        return _answer(Refusal(500, "Something went wrong on our side; the log has it."))
