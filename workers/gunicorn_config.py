"""gunicorn's first process: it loads the application once, and forks the web processes, which share its memory.

What must not be shared is made after the fork: connections, threads, listeners, random state, and the files of the
metrics. Each web process counts in the slot that it takes from the first process: `dashboard-0`, `dashboard-1` and so
on. A process that replaces another one takes its slot, and continues its counts; after a restart the new ones take
other slots while the old ones finish their requests (`gunicorn_restart`).
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from typing import Any

from gevent import monkey

# Before all other imports: modules keep the locks and sockets that they find. The first process does not use gevent's
# signals, forks and queues: it waits for its children in the usual way, and they patch these (`BoundedWorker`).
monkey.patch_all(os=False, signal=False, queue=False)

import settings  # noqa: E402


def _make_metrics_directory() -> None:
    """Make a directory for the files of the metrics, unless all programs of this host have one (`supervisord.conf`)."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        directory = tempfile.mkdtemp(prefix="metrics-", dir=settings.load().run)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        atexit.register(_remove_directory, directory, os.getpid())


def _remove_directory(directory: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


_make_metrics_directory()
os.environ["BECKON_SLOT"] = "dashboard"

import metrics  # noqa: E402
from workers import gunicorn_restart  # noqa: E402

#: The web processes of the code before a restart.
OLD = gunicorn_restart.read_old()


def on_starting(server: Any) -> None:
    """On SIGUSR2, restart with the code that is on disk."""
    server.reexec = lambda: gunicorn_restart.execute_anew(server, OLD)


def when_ready(_server: Any) -> None:
    """Keep the pages of what was loaded shared: no collection writes to them. From now on SIGUSR2 is handled."""
    gunicorn_restart.accept_signal()
    gc.collect()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    """Give the next web process the first free slot."""
    taken = {other.slot for other in server.WORKERS.values()}
    taken.update(gunicorn_restart.select_running(OLD, server.pid).values())
    worker.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)


def post_fork(_server: Any, worker: Any) -> None:
    """In the web process: count in its own files."""
    os.environ["BECKON_SLOT"] = f"dashboard-{worker.slot}"
    metrics.enter_slot(os.environ["BECKON_SLOT"])


def post_worker_init(worker: Any) -> None:
    """In the web process: connect to PostgreSQL and Redis, start the listeners, and end those of the old code."""
    worker.wsgi.extensions["connect"]()
    gunicorn_restart.end(OLD)


def worker_exit(_server: Any, worker: Any) -> None:
    """In a web process that ends: forget its open streams. The first process no longer knows those of the old code."""
    metrics.forget_slot(f"dashboard-{worker.slot}")


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the open streams of a web process that ended."""
    metrics.forget_slot(f"dashboard-{worker.slot}")
