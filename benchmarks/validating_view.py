"""The baseline of `benchmarks/tracking.py`: a Flask view that validates the same body and does nothing else."""

from __future__ import annotations

import flask

from models.ids import new_id
from rules.json_text import load_json
from rules.tracking import TrackedExecution, parse_tracked_execution


def create_app() -> flask.Flask:
    """Create the application; `POST /api/track-execution` is its only route."""
    app = flask.Flask(__name__)
    app.add_url_rule("/api/track-execution", view_func=validate, methods=["POST"])
    return app


def validate() -> tuple[flask.Response, int]:
    """Answer 201 for a valid execution, else 422."""
    execution = parse_tracked_execution(load_json(flask.request.get_data()), new_id())
    if not isinstance(execution, TrackedExecution):
        return flask.jsonify(success=False), 422
    return flask.jsonify(success=True, executionId=execution.execution_id), 201
