"""supervisord as Beckon runs it: it forks the programs from the code that it has loaded (`workers.forking`), and a disk
that takes no line of its log or of theirs stops neither.

supervisor's own log files raise where a line cannot be written, which ends supervisord, and all programs with it.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

from settings import Settings
from workers.bounded_log import BoundedLog, DroppedLines
from workers.forking import ForkingOptions

with warnings.catch_warnings():
    # supervisor imports what setuptools deprecates.
    warnings.simplefilter("ignore")
    from supervisor import loggers, supervisord

#: The largest size of what supervisord and its libraries print.
_OUTPUT_BYTES = 1_000_000


class _LogFile(loggers.StreamHandler):  # type: ignore[misc]
    """Writes a log's records to a `BoundedLog`."""

    def reopen(self) -> None:
        """Open the file by its name again, for programs that rotate logs."""
        self.stream.close()


class _Output(io.TextIOBase):
    """Standard output and error, which code may print to whatever the disk does."""

    def __init__(self, log: BoundedLog) -> None:
        self._log = log

    def write(self, text: str) -> int:
        """Write text."""
        self._log.write(text.encode(errors="backslashreplace"))
        return len(text)


def main(configuration: str, settings: Settings) -> None:
    """Run supervisord with this file until a signal ends it."""
    dropped = DroppedLines(settings.dropped_log_lines)
    sys.stdout = sys.stderr = _Output(BoundedLog(settings.home / "logs" / "supervisord.out", _OUTPUT_BYTES, 0, dropped))
    _bound_logs(dropped)
    supervisord.ServerOptions = ForkingOptions
    supervisord.main(["-c", configuration])


def _bound_logs(dropped: DroppedLines) -> None:
    """Replace the function with which supervisor attaches the file of each log."""

    def handle_file(
        logger: Any, filename: str, fmt: str, rotating: bool = False, maxbytes: int = 0, backups: int = 0
    ) -> None:
        log_file = _LogFile(BoundedLog(Path(filename), maxbytes if rotating else 0, backups, dropped))
        log_file.setFormat(fmt)
        log_file.setLevel(logger.level)
        logger.addHandler(log_file)

    loggers.handle_file = handle_file
