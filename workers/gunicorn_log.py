"""gunicorn's own log in the format of all others: its processes report here what happens before and around the app.

Outside of `dashboard`: importing that in the first process would come before gevent replaces the sockets.
"""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

import logs
import settings


class GunicornLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's messages to the root logger, which writes JSON lines."""

    def setup(self, cfg: Any) -> None:
        """Replace the handlers that gunicorn sets up."""
        super().setup(cfg)
        logs.set_up("dashboard", settings.load().log_level)
        logs.log_uncaught_exceptions()
        self.error_log.handlers = []
        self.error_log.propagate = True
