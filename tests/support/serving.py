"""HTTP servers of tests, each in a thread that ends within milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import TCPServer

#: How often the thread looks whether it must end: the library's half a second would be added to every test.
POLL_SECONDS = 0.01


@contextmanager
def serve(server: TCPServer) -> Iterator[str]:
    """Serve until the end of the block, and close the server. Yields the base URL."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
