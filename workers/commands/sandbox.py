"""`beckon sandbox`: the pretended providers, as supervisord.conf runs them."""

from __future__ import annotations

import importlib

import click

import logs
import settings


@click.command()
def command() -> None:
    """Speak the providers' APIs on the sandbox's port until SIGTERM."""
    told = settings.load()
    logs.set_up("sandbox", told.log_level)
    own = told.sandbox_secrets
    secrets = {"mailgun": own.mailgun, "telnyx": own.telnyx_seed, "meta": own.meta}
    # By its name, as gunicorn is given the dashboard: the two folders do not know each other.
    serve = importlib.import_module("sandbox.server").serve
    serve(told.sandbox_port, told.local_url, secrets)
