"""`beckon sandbox`: the simulated providers, as supervisord.conf runs them."""

from __future__ import annotations

import importlib

import click

import logs
import settings


@click.command()
def command() -> None:
    """Serve the simulated provider APIs on the sandbox's port until SIGTERM."""
    config = settings.load()
    logs.set_up("sandbox", config.log_level)
    logs.log_uncaught_exceptions()
    sandbox_secrets = config.sandbox_secrets
    secrets = {"mailgun": sandbox_secrets.mailgun, "telnyx": sandbox_secrets.telnyx_seed, "meta": sandbox_secrets.meta}
    # Imported by name, as gunicorn imports the dashboard: workers and sandbox must not import each other.
    serve = importlib.import_module("sandbox.server").serve
    serve(config.sandbox_port, config.local_url, secrets)
