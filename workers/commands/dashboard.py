"""`beckon dashboard`: gunicorn with cooperative web processes, which serve thousands of event streams and the API."""

from __future__ import annotations

import os
import resource
import sys

import click

import settings
from workers import gunicorn_restart

#: Seconds that open requests have to finish after SIGTERM.
GRACEFUL_TIMEOUT_SECONDS = 20
#: Enough for every connection that the process accepts, and for the files that it opens itself.
OPEN_FILES = 8192


def build_gunicorn_arguments(config: settings.Settings) -> list[str]:
    """Build the command line that replaces this process with the dashboard's."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return [
        *(sys.executable, "-m", "gunicorn.app.wsgiapp", "dashboard:load_app()"),
        *("--config", "python:workers.gunicorn_config", "--preload", "--workers", str(config.web_workers)),
        *("--worker-class", "workers.gunicorn_worker.BoundedWorker", "--worker-connections", "5000"),
        *("--bind", f"{host}:{config.port}", "--backlog", "2048", "--keep-alive", "30"),
        *("--graceful-timeout", str(GRACEFUL_TIMEOUT_SECONDS), "--timeout", "60", "--no-control-socket"),
        *("--worker-tmp-dir", str(config.run), "--limit-request-line", "8190", "--log-level", "warning"),
        *("--logger-class", "workers.gunicorn_log.GunicornLogger"),
        # gunicorn's default trusts any local client's scheme; dashboard/proxies.py decides which proxies are trusted.
        *("--forwarded-allow-ips", ""),
    ]


def compute_open_file_limit(soft: int, hard: int) -> int:
    """Compute the limit of open files: a stream is one, and the default limit of many systems is about a thousand."""
    if soft == resource.RLIM_INFINITY:
        return soft
    return max(soft, OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES))


@click.command()
def command() -> None:
    """Serve the dashboard, the API and the webhooks until SIGTERM."""
    config = settings.load()
    arguments = build_gunicorn_arguments(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (compute_open_file_limit(soft, hard), hard))
    # The new process reads the settings again, from another directory.
    os.environ["BECKON_HOME"] = str(config.home)
    os.chdir(settings.ROOT)
    gunicorn_restart.defer_signal()
    os.execv(arguments[0], arguments)
