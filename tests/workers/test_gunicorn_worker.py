"""The dashboard's connections: one address cannot hold those of all others."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gunicorn.workers.ggevent import GeventWorker

from workers.gunicorn_worker import BoundedWorker


class Client:
    """A connection; `while_served` runs while it is served."""

    def __init__(self, address: str, while_served: Callable[[], Any] = bool) -> None:
        self.address, self.while_served = address, while_served
        self.served = self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> BoundedWorker:
    """A worker of eight connections, which trusts the proxy 10.0.0.9."""
    cfg = SimpleNamespace(worker_connections=8, max_requests=0, worker_tmp_dir=None, uid=0, gid=0, umask=0)
    monkeypatch.setattr("gunicorn.workers.base.WorkerTmp", lambda _cfg: None)
    worker = BoundedWorker(0, 0, [], None, 30, cfg, None)
    worker._trusted_proxies = (ipaddress.ip_network("10.0.0.9/32"),)
    return worker


@pytest.fixture
def connect(worker: BoundedWorker, monkeypatch: pytest.MonkeyPatch) -> Callable[[Client], Client]:
    """`connect(client)` serves a connection."""

    def serve(_worker: GeventWorker, _listener: object, client: Client, _addr: object) -> None:
        client.served = True
        client.while_served()

    monkeypatch.setattr(GeventWorker, "handle", serve)

    def connect(client: Client) -> Client:
        worker.handle(None, client, (client.address, 1))
        return client

    return connect


def hold(connect: Callable[[Client], Client], count: int, address: str, then: Callable[[], Any]) -> list[Client]:
    """Hold `count` connections of an address at once, and call `then` while they are held."""
    clients: list[Client] = []
    for _ in range(count):
        inner = then
        clients.insert(0, Client(address))
        then = lambda client=clients[0]: connect(client)  # noqa: E731
        clients[0].while_served = inner
    then()
    return clients


def test_an_address_holds_at_most_half_and_another_one_is_served(connect: Callable[[Client], Client]) -> None:
    others: list[Client] = []
    then = lambda: others.extend(connect(Client(address)) for address in ("127.0.0.2", "127.0.0.1"))  # noqa: E731
    assert all(client.served for client in hold(connect, 4, "127.0.0.2", then))
    assert [(client.served, client.closed) for client in others] == [(False, True), (True, False)]
    assert connect(Client("127.0.0.2")).served


@pytest.mark.parametrize(
    ("held", "other", "served"),
    [
        ("::ffff:127.0.0.2", "127.0.0.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", False),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", True),
        ("fe80::1%2", "fe80::2%2", False),
        ("10.0.0.9", "10.0.0.9", True),
    ],
)
def test_an_ipv6_network_is_one_address_and_a_proxy_is_not_bounded(
    connect: Callable[[Client], Client], held: str, other: str, served: bool
) -> None:
    last: list[Client] = []
    hold(connect, 4, held, lambda: last.append(connect(Client(other))))
    assert [client.served for client in last] == [served]


def test_a_connection_that_fails_is_released(connect: Callable[[Client], Client]) -> None:
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            connect(Client("127.0.0.2", lambda: 1 / 0))
    assert connect(Client("127.0.0.2")).served


def test_others_are_answered_between_the_requests_of_one_connection(
    worker: BoundedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[str] = []
    monkeypatch.setattr(GeventWorker, "handle_request", lambda *_: answered.append("pipelined"))
    request = SimpleNamespace(unreader=SimpleNamespace(sock=None))
    other = gevent.spawn(answered.append, "other")
    for _ in range(3):
        worker.handle_request("", request, SimpleNamespace(settimeout=lambda _: None), ("127.0.0.2", 1))
    assert answered == ["pipelined", "other", "pipelined", "pipelined"]
    assert other.dead
