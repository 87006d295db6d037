"""gunicorn's gevent worker, with a bound on the connections of one address, and deadlines.

A connection that never completes its request holds a place until its deadline: without the bound, one address could
hold them all. Connections of trusted proxies, which are those of many clients, are not bounded here.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Any

import gevent
from gevent import monkey, socket
from gunicorn.workers.ggevent import GeventWorker

import settings
from workers.request_socket import RequestSocket
from workers.response_socket import ResponseSocket

#: Seconds that a client has to take each piece of a response; streams have a shorter time of their own.
RESPONSE_SECONDS = 120.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BoundedWorker(GeventWorker):  # type: ignore[misc]
    """Closes each connection of an IPv4 address or IPv6 /64 network beyond half of those that the process accepts."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._trusted_proxies: settings.Networks = ()
        self._connections: Counter[str] = Counter()

    def patch(self) -> None:
        """Patch what the first process needs unpatched (`gunicorn_config`), and make the listeners cooperative."""
        monkey.patch_os()
        monkey.patch_signal()
        monkey.patch_queue()
        self.sockets: list[Any] = [
            socket.socket(listener.FAMILY, socket.SOCK_STREAM, fileno=listener.sock.detach())
            for listener in self.sockets
        ]

    def run(self) -> None:
        """Serve until the process is told to stop."""
        self._trusted_proxies = settings.load().trusted_proxies
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection until it ends."""
        address = _parse_address(addr[0])
        if any(address in network for network in self._trusted_proxies):
            super().handle(listener, client, addr)
            return
        counted = _find_network(address)
        if self._connections[counted] >= self.worker_connections // 2:
            client.close()
            return
        self._connections[counted] += 1
        try:
            super().handle(listener, client, addr)
        finally:
            self._release(counted)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer a request, within the deadlines of its body and its response; then others have their turn.

        A client that sends requests before it has the answers would otherwise be the only one that is answered, because
        gevent switches only where it must wait.
        """
        unreader = req.unreader
        if not isinstance(unreader.sock, RequestSocket):
            unreader.sock = RequestSocket(sock)
        unreader.sock.begin_request()
        sock.settimeout(RESPONSE_SECONDS)
        response = ResponseSocket(sock)
        try:
            super().handle_request(listener_name, req, response, addr)
        finally:
            response.flush()
            unreader.sock.end_request()
            sock.settimeout(None)
        gevent.sleep(0)

    def _release(self, counted: str) -> None:
        self._connections[counted] -= 1
        if not self._connections[counted]:
            del self._connections[counted]


def _parse_address(text: str) -> Address:
    """The peer's address; the IPv4 address where it is mapped into IPv6."""
    address = ipaddress.ip_address(text)
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address


def _find_network(address: Address) -> str:
    """What is counted: a client with one IPv6 address controls its /64."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
