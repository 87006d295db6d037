"""Says which methods a path has: `Allow` of OPTIONS and of 405 name those, and no other.

A path such as `/api/executions/retry` also fits the route of `/api/executions/{execution_id}`, so Flask alone would
name the methods of both, and answer GET with a missing execution.
"""

from __future__ import annotations

from collections.abc import Iterable

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from dashboard.errors import ProblemError

#: Only the API has paths that fit two routes.
_PREFIX = "/api/"


def register(app: flask.Flask) -> None:
    """Refuse the methods of the less specific route, and name those of the most specific one."""
    methods: dict[str, set[str]] = {}

    def list_methods(rule: Rule) -> Iterable[str]:
        if not methods:
            for route in app.url_map.iter_rules():
                methods.setdefault(route.rule, set()).update(route.methods or ())
        return methods[rule.rule]

    @app.before_request
    def refuse_other_methods() -> None:
        rule = flask.request.url_rule
        # A rule without parameters is the most specific one, and costs the paths of producers no second look.
        if rule is None or not rule.arguments or not rule.rule.startswith(_PREFIX):
            return
        specific = _find_specific_rule()
        if specific is not None and specific.rule != rule.rule:
            raise ProblemError(
                405,
                "This path does not support this method.",
                headers={"Allow": ", ".join(sorted(list_methods(specific)))},
            )

    @app.after_request
    def name_methods(response: flask.Response) -> flask.Response:
        request = flask.request
        if request.path.startswith(_PREFIX) and (request.method == "OPTIONS" or response.status_code == 405):
            rule = _find_specific_rule()
            if rule is not None:
                response.headers["Allow"] = ", ".join(sorted(list_methods(rule)))
        return response


def _find_specific_rule() -> Rule | None:
    """Return the most specific route of the current path, whatever its methods."""
    adapter = flask.globals.request_ctx.url_adapter
    if adapter is None:
        return None
    try:
        rule, _ = adapter.match(method="OPTIONS", return_rule=True)
    except HTTPException:
        return None
    return rule
