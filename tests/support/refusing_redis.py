"""A Redis that gives the same answer to every command, or none."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path

#: The beginning of a command: an array of so many texts.
_COMMAND = re.compile(rb"(?m)^\*\d+\r$")


class RefusingRedis:
    """A server on a Unix socket; `answer` is sent for each command, nothing while it is empty."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.url = f"unix://{path}?db=0"
        self.answer = answer
        #: Connections and commands that it received.
        self.connections = self.commands = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65_536):
                count = len(_COMMAND.findall(data))
                self.commands += count
                connection.sendall(self.answer * count)

    def close(self) -> None:
        """Accept no further connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
