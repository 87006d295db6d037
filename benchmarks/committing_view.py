"""The baseline of `benchmarks/trigger_rates.py`: a Flask view that validates the same body and commits one row."""

from __future__ import annotations

import os
from queue import Queue
from typing import Any

import flask
import psycopg2

from dashboard import gevent_support
from models.ids import new_id
from rules import bodies
from rules.json_text import dump_json, load_json
from rules.trigger_bodies import Trigger

CONNECTIONS = 24


def create_app() -> flask.Flask:
    """Create the application; `POST /api/triggers` is its only route."""
    gevent_support.set_up()
    app = flask.Flask(__name__)
    app.extensions["connections"] = _connect(os.environ["VIEW_DATABASE_URL"])
    app.add_url_rule("/api/triggers", view_func=store, methods=["POST"])
    return app


def _connect(url: str) -> Queue[Any]:
    connections: Queue[Any] = Queue()
    for _ in range(CONNECTIONS):
        connection = psycopg2.connect(url)
        connection.autocommit = True
        connections.put(connection)
    return connections


def store() -> tuple[flask.Response, int]:
    """Answer 202 for a valid trigger, once its row is committed, else 422."""
    value = load_json(flask.request.get_data())
    trigger, _ = bodies.check(Trigger, value)
    if trigger is None:
        return flask.jsonify(success=False), 422
    connections, row_id = flask.current_app.extensions["connections"], new_id()
    connection = connections.get()
    try:
        with connection.cursor() as cursor:
            cursor.execute("insert into view_rows (id, body) values (%s, %s)", (row_id, dump_json(value)))
    finally:
        connections.put(connection)
    return flask.jsonify(success=True, triggerId=row_id), 202
