"""`beckon dashboard`: gunicorn with one cooperative process, which holds the streams of thousands beside the API."""

from __future__ import annotations

import os
import resource
import sys

import click

import settings

#: Seconds in which open requests may finish after SIGTERM.
GRACEFUL_TIMEOUT_SECONDS = 20
#: Enough for every connection that the process takes, and what it opens itself.
OPEN_FILES = 8192


def build_gunicorn_arguments(config: settings.Settings) -> list[str]:
    """The command line that becomes the dashboard's process."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return [
        *(sys.executable, "-m", "gunicorn.app.wsgiapp", "dashboard:create_app()"),
        *("--worker-class", "gevent", "--workers", "1", "--worker-connections", "5000"),
        *("--bind", f"{host}:{config.port}", "--backlog", "2048", "--keep-alive", "30"),
        *("--graceful-timeout", str(GRACEFUL_TIMEOUT_SECONDS), "--timeout", "60", "--no-control-socket"),
        *("--worker-tmp-dir", str(config.run), "--limit-request-line", "8190", "--log-level", "warning"),
        # Its default takes the scheme from anybody on this machine; dashboard/proxies.py decides whose word counts.
        *("--forwarded-allow-ips", ""),
    ]


def compute_open_file_limit(soft: int, hard: int) -> int:
    """How many files may be open: a stream is one, and many systems allow a thousand unless asked."""
    if soft == resource.RLIM_INFINITY:
        return soft
    return max(soft, OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES))


@click.command()
def command() -> None:
    """Serve the dashboard, the API and the webhooks until SIGTERM."""
    arguments = build_gunicorn_arguments(settings.load())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (compute_open_file_limit(soft, hard), hard))
    os.chdir(settings.ROOT)
    os.execv(arguments[0], arguments)
