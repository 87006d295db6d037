"""The writing of responses: a head leaves together with the body behind it, and never waits for anything else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from gevent import socket
from gunicorn.config import Config
from gunicorn.http.wsgi import Response

from workers.response_socket import MAX_JOINED_BYTES, ResponseSocket

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Recorder:
    """A connection that records what each call sends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def sendfile(self, file: io.BytesIO, offset: int = 0) -> None:
        self.sent.append(file.getvalue()[offset:])


@pytest.fixture
def connection() -> Recorder:
    return Recorder()


@pytest.fixture
def response(connection: Recorder) -> ResponseSocket:
    return ResponseSocket(connection)


def test_a_head_and_its_body_leave_in_one_call(connection: Recorder, response: ResponseSocket) -> None:
    response.sendall(HEAD)
    assert connection.sent == []
    response.sendall(b"ok")
    response.sendall(b"more")
    response.flush()
    assert connection.sent == [HEAD + b"ok", b"more"]


def test_the_head_of_a_stream_leaves_at_once(connection: Recorder, response: ResponseSocket) -> None:
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    response.sendall(stream)
    assert connection.sent == [stream]


def test_a_large_body_is_not_copied(connection: Recorder, response: ResponseSocket) -> None:
    body = bytes(MAX_JOINED_BYTES + 1)
    response.sendall(HEAD)
    response.sendall(body)
    assert connection.sent == [HEAD, body]


def test_a_head_without_a_body_leaves_at_the_end(connection: Recorder, response: ResponseSocket) -> None:
    response.sendall(HEAD)
    response.flush()
    response.flush()
    assert connection.sent == [HEAD]


def test_a_file_leaves_behind_its_head(connection: Recorder, response: ResponseSocket) -> None:
    response.sendall(HEAD)
    response.sendfile(io.BytesIO(b" ok"), offset=1)
    assert connection.sent == [HEAD, b"ok"]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    client, server = socket.socketpair()
    yield client, server
    client.close()
    server.close()


def test_gunicorn_s_response_arrives_as_one_piece(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
    response = Response(request, ResponseSocket(server), Config())
    response.start_response("202 ACCEPTED", [("Content-Length", "2")])
    response.write(b"ok")
    assert client.recv(65_536).endswith(b"\r\n\r\nok")
