"""Refuses new work while the disk is nearly full: what is left is kept for the work that was accepted.

Only where PostgreSQL is embedded, which has its data on that disk. Operators may act meanwhile.
"""

from __future__ import annotations

import threading

import flask
from cachetools import TTLCache, cached

from dashboard.errors import RETRY_AFTER_SECONDS, ProblemError
from settings import Settings
from tasks.health.facts import measure_disk
from tasks.health.stores import is_disk_full

#: Seconds for which a measurement is reused.
CACHE_SECONDS = 1.0


def register(app: flask.Flask, blueprints: frozenset[str]) -> None:
    """Guard every POST to these blueprints, which take work from producers and providers."""

    @app.before_request
    def refuse_new_work() -> None:
        request = flask.request
        if request.method == "POST" and request.blueprint in blueprints and _has_no_space(app.extensions["settings"]):
            raise ProblemError(
                503, "The disk is full. Nothing was accepted; try again later.", retry_after=RETRY_AFTER_SECONDS
            )


@cached(TTLCache(2, CACHE_SECONDS), lock=threading.Lock())
def _has_no_space(settings: Settings) -> bool:
    try:
        return is_disk_full(measure_disk(settings), settings)
    except OSError:
        return False


def forget() -> None:
    """Forget the last measurement; for tests, which change what is measured."""
    _has_no_space.cache_clear()
