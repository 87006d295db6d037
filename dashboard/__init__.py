"""The Flask application, the only HTTP entry point: the API, the pages, and the providers' webhooks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import flask

import clock
import settings as settings_module
import traces
from dashboard import (
    allowed_methods,
    compression,
    cross_origin,
    disk_guard,
    errors,
    gevent_support,
    headers,
    held_bytes,
    hosts,
    parsing,
    proxies,
    request_log,
    static_files,
)
from dashboard.api import RESOURCES, list_operations
from dashboard.api.tracked_executions import tracked_executions
from dashboard.api.tracking import tracking
from dashboard.api.triggers import triggers
from dashboard.browser_script import script_routes
from dashboard.form_parser import PUBLIC_FORM_LIMIT, BoundedRequest
from dashboard.inbound import BLUEPRINTS as INBOUND
from dashboard.live import counts, snapshot
from dashboard.live.feeds import Feeds
from dashboard.live.stream_access import StreamAccessChecker
from dashboard.message_links import link_routes
from dashboard.pages import BLUEPRINTS as PAGES
from dashboard.probes import probes
from dashboard.responses import Json
from dashboard.scrape import ServersCollector
from dashboard.sign_in_failures import SignInFailures
from ephemeral import connection, sign_ins, workflow_cache
from ephemeral.heartbeats import Heartbeat
from models import database
from models.connection_pools import WEB_POOL
from settings import Settings, SettingsError
from tasks.runtime import broker

#: Where producers and providers bring work.
_INTAKE = frozenset(blueprint.name for blueprint in (triggers, tracked_executions, tracking, *INBOUND))


class _Application(flask.Flask):
    """Flask, which looks at every view and every handler of each request to see whether it is a coroutine; none is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function."""
        return func


def create_app(settings: Settings) -> flask.Flask:
    """The application, connected as the role that RLS restricts."""
    app = _build_app(settings)
    connect(app)
    return app


def load_app() -> flask.Flask:
    """The application of gunicorn's first process, with the settings of the environment. Each web process calls
    `app.extensions["connect"]` after it was forked."""
    try:
        app = _build_app(settings_module.load())
    except SettingsError as error:
        sys.exit(f"beckon: {error}")
    app.extensions["connect"] = lambda: _connect_web_process(app)
    return app


def _build_app(config: Settings) -> flask.Flask:
    if not config.secret_key:
        raise SettingsError(
            "SECRET_KEY: is not set, and no first start has generated it. Set it, or start Beckon with beckon up"
        )
    app = _Application(__name__, static_url_path="/static")
    app.json = Json(app)
    app.request_class = BoundedRequest
    # `bodies` and `access` raise it, for a program's body and for a person who is signed in.
    app.config["MAX_CONTENT_LENGTH"] = PUBLIC_FORM_LIMIT
    app.extensions["settings"] = config
    app.jinja_env.globals["clock_offset"] = clock.OFFSET_SECONDS
    # Before the others: what is registered first sees the finished response.
    compression.register(app)
    static_files.register(app)
    proxies.register(app)
    request_log.register(app)
    hosts.register(app)
    disk_guard.register(app, _INTAKE)
    held_bytes.register(app)
    headers.register(app)
    errors.register(app)
    allowed_methods.register(app)
    parsing.register(app)
    cross_origin.register(app, list_operations())
    for blueprint in (probes, script_routes, link_routes, *RESOURCES, *INBOUND, *PAGES):
        app.register_blueprint(blueprint)
    return app


def _connect_web_process(app: flask.Flask) -> None:
    config = app.extensions["settings"]
    traces.set_up("dashboard", config.otlp_endpoint)
    sign_ins.share_limits(config.web_workers)
    connect(app)
    gevent_support.call_on_sigterm(lambda: app.extensions["feeds"].close())
    gevent_support.freeze_startup_objects()


def connect(app: flask.Flask) -> None:
    """Connect to PostgreSQL and Redis, and start the listeners."""
    config = app.extensions["settings"]
    gevent_support.set_up()
    database.open_pool(config.database_app_url, "beckon_app", WEB_POOL)
    connection.open_ephemeral(config, connection.WEB_RESPONSE_TIMEOUT_SECONDS)
    broker.set_up(config, connection.WEB_RESPONSE_TIMEOUT_SECONDS)
    app.extensions["servers_collector"] = ServersCollector(config)
    app.extensions["feeds"] = Feeds(lambda key: _read_feed(app, key), config.watchers)
    app.extensions["stream_access"] = StreamAccessChecker()
    app.extensions["sign_in_failures"] = SignInFailures()
    app.extensions["workflow_cache_listener"] = workflow_cache.listen()
    app.extensions["heartbeat"] = Heartbeat("dashboard").start()


def disconnect(app: flask.Flask) -> None:
    """Stop what `connect` started."""
    app.extensions["heartbeat"].stop()
    app.extensions["workflow_cache_listener"].stop()
    app.extensions["feeds"].close()
    app.extensions["stream_access"].close()
    app.extensions["sign_in_failures"].close()


def _read_feed(app: flask.Flask, key: Any) -> str | None:
    """The text of a feed's next frame: the counts of a workspace, or a snapshot of one automation."""
    payload = counts.read(key) if isinstance(key, counts.CountsKey) else snapshot.read(key)
    return None if payload is None else app.json.dumps(payload)
