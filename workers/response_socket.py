"""How a web process writes responses: the head and the beginning of its body leave in one call.

gunicorn sends them by themselves, so that a client wakes up twice; the head's own send took 8 % of a web process's
samples. A head that announces no length belongs to a stream and leaves at once.
"""

from __future__ import annotations

from typing import Any

_LENGTH = b"\r\nContent-Length: "
#: A longer piece is sent behind the head instead of being copied.
MAX_JOINED_BYTES = 64 * 1024


class ResponseSocket:
    """The socket of a connection, as gunicorn uses it for one response."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._is_head_due = True
        self._head = b""

    def sendall(self, data: bytes) -> None:
        """Send the next piece; a head waits for the piece behind it, or for `flush`."""
        if self._is_head_due:
            self._is_head_due = False
            if _LENGTH in data:
                self._head = data
                return
        if len(data) > MAX_JOINED_BYTES:
            self.flush()
        head, self._head = self._head, b""
        self._connection.sendall(head + data)

    def sendfile(self, *arguments: Any, **options: Any) -> Any:
        """Send a file behind the head."""
        self.flush()
        return self._connection.sendfile(*arguments, **options)

    def flush(self) -> None:
        """Send a head that has no body."""
        head, self._head = self._head, b""
        if head:
            self._connection.sendall(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
