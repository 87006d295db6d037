"""`beckon sandbox`: the pretended providers, as supervisord.conf runs them."""

from __future__ import annotations

import importlib

import click

import logs
import settings


@click.command()
def command() -> None:
    """Speak the providers' APIs on the sandbox's port until SIGTERM."""
    config = settings.load()
    logs.set_up("sandbox", config.log_level)
    sandbox_secrets = config.sandbox_secrets
    secrets = {"mailgun": sandbox_secrets.mailgun, "telnyx": sandbox_secrets.telnyx_seed, "meta": sandbox_secrets.meta}
    # By its name, as gunicorn is given the dashboard: the two folders do not know each other.
    serve = importlib.import_module("sandbox.server").serve
    serve(config.sandbox_port, config.local_url, secrets)
