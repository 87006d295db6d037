"""One server that imitates every provider's API, stores the accepted messages, and fails on demand.

`serve` is the program; `run_sandbox` runs it in a thread for tests. Scripts use `/_sandbox/…` as documented: `GET
messages`, `POST faults`, `POST events`, and `DELETE /_sandbox`. It stores nothing on disk and accepts any credentials,
so it listens only on loopback and rejects requests from web pages (`sandbox.access`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from sandbox import access, callbacks, faults, http
from sandbox.http import HttpResponse, Request
from sandbox.meta_graph import build_meta_error_response
from sandbox.parsed_request import ParsedRequest
from sandbox.provider_apis import parse_request
from sandbox.store import Fault, Store

log = structlog.get_logger(__name__)

#: Seconds that open connections get to finish on shutdown.
GRACE_SECONDS = 1.0


@dataclass
class Sandbox:
    """The server's state: its store, and the target and secrets of its callbacks to our webhooks."""

    webhook_target: str = ""
    webhook_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    store: Store = field(default_factory=Store)
    open_connections: set[asyncio.StreamWriter] = field(default_factory=set)

    async def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        self.open_connections.add(writer)
        port = int(writer.get_extra_info("sockname")[1])
        try:
            while (request := await http.read_request(reader)) is not None:
                response = access.check_access(request, port) or await self.handle_request(request, reader)
                if response is None:
                    http.reset_connection(writer)
                    return
                writer.write(response.encode(with_body=request.method != "HEAD"))
                await writer.drain()
                if request.headers.get("connection", "").lower() == "close":
                    return
        except http.MalformedRequest as error:
            writer.write(HttpResponse(400, f"malformed request: {error}", {"Connection": "close"}).encode())
        except ConnectionError:
            return
        finally:
            self.open_connections.discard(writer)
            writer.close()

    async def handle_request(self, request: Request, reader: asyncio.StreamReader) -> HttpResponse | None:
        """Return the response to one request; None resets the connection."""
        if access.is_for_scripts(request):
            return await self.handle_script_request(request)
        parsed = parse_request(request, self.store)
        if parsed is None:
            return HttpResponse(404, {"message": f"no provider of the sandbox has {request.method} {request.path}"})
        fault = self.store.take_fault(parsed.provider, parsed.to, parsed.call)
        return await self.play_fault(parsed, fault, reader) if fault else self.accept(parsed)

    def accept(self, parsed: ParsedRequest) -> HttpResponse:
        for message in (parsed.message, *parsed.copies):
            if message is not None:
                self.store.accept(message)
        return parsed.response

    async def play_fault(
        self, parsed: ParsedRequest, fault: Fault, reader: asyncio.StreamReader
    ) -> HttpResponse | None:
        """Play a fault. `slow`, `reset_after` and `bad_json` accept the message; the others do not."""
        match fault.fault:
            case "http_500":
                return faults.build_server_error_response(parsed.provider)
            case "http_429":
                return faults.build_rate_limit_response(parsed.provider, fault.seconds)
            case "auth":
                return faults.build_auth_error_response(parsed.provider)
            case "refused":
                return build_meta_error_response(fault.code, fault.subcode)
            case "blocked" | "empty" | "cut_short":
                return faults.build_generation_fault_response(parsed, fault.fault)
            case "timeout":
                await _wait_for_disconnect(reader, fault.seconds)
                return None
            case "slow":
                response = self.accept(parsed)
                return None if await _wait_for_disconnect(reader, fault.seconds) else response
            case "reset_after":
                self.accept(parsed)
                return None
            case "bad_json":
                return HttpResponse(self.accept(parsed).status, faults.GARBAGE)
        return faults.build_look_up_fault_response(parsed, fault)

    async def handle_script_request(self, request: Request) -> HttpResponse:
        """Respond to the endpoints for scripts."""
        match (request.method, request.path.rstrip("/")):
            case ("GET", "/_sandbox/messages"):
                query = request.query
                messages = self.store.list_messages(query.get("provider") or None, query.get("to") or None)
                return HttpResponse(200, {"messages": messages})
            case ("POST", "/_sandbox/faults"):
                try:
                    self.store.faults.append(Fault.from_json(request.json()))
                except ValueError as error:
                    return HttpResponse(422, {"success": False, "detail": str(error)})
                return HttpResponse(201, {"success": True})
            case ("DELETE", "/_sandbox"):
                self.store.clear()
                return HttpResponse(200, {"success": True})
            case ("POST", "/_sandbox/events"):
                return await self.play_event(request.json())
            case ("GET", "/_sandbox" | "/_sandbox/health"):
                return HttpResponse(200, {"success": True, "messages": len(self.store.messages)})
        return HttpResponse(404, {"success": False, "detail": f"the sandbox has no {request.method} {request.path}"})

    async def play_event(self, body: Mapping[str, Any]) -> HttpResponse:
        """Call our webhook, signed, with an event of an accepted message or one that a person initiates."""
        message = self.store.find_message(str(body["messageId"])) if body.get("messageId") else None
        if message is None and body.get("messageId"):
            return HttpResponse(404, {"success": False, "detail": "no accepted message has this messageId"})
        try:
            if message is None:
                callback = callbacks.build_contact_callback(body, self.webhook_secrets, self.store.commenters)
            else:
                person = str(body.get("from") or self.store.commenters.get(message.to) or message.to)
                callback = callbacks.build_event_callback(message, body, self.webhook_secrets, person)
        except ValueError as error:
            return HttpResponse(422, {"success": False, "detail": str(error)})
        status = await asyncio.to_thread(callbacks.deliver, self.webhook_target, callback)
        is_accepted = status is not None and status < 300
        return HttpResponse(200 if is_accepted else 502, {"success": is_accepted, "status": status})


async def _wait_for_disconnect(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Wait, at most `seconds`, until the client disconnects; True if it did."""
    try:
        await asyncio.wait_for(reader.read(1), seconds)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


async def _start_server(sandbox: Sandbox, port: int) -> asyncio.Server:
    return await asyncio.start_server(sandbox.handle_connection, access.LOOPBACK, port, backlog=512, limit=256 * 1024)


async def _stop_server(sandbox: Sandbox, server: asyncio.Server) -> None:
    server.close()
    for writer in list(sandbox.open_connections):
        writer.close()
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if running:
        _, late = await asyncio.wait(running, timeout=GRACE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def serve(port: int, webhook_target: str, webhook_secrets: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT. `webhook_target` is the dashboard's URL.

    `webhook_secrets`: `mailgun` the signing key, `telnyx` the Ed25519 seed in base64, `meta` the app secret.
    """
    asyncio.run(_serve(Sandbox(webhook_target, webhook_secrets), port))


async def _serve(sandbox: Sandbox, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    server = await _start_server(sandbox, port)
    log.info("sandbox is listening", host=access.LOOPBACK, port=port)
    await stop.wait()
    await _stop_server(sandbox, server)


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox in a thread of this process."""

    url: str
    sandbox: Sandbox

    def list_messages(self, provider: str | None = None, to: str | None = None) -> list[dict[str, Any]]:
        """Return the accepted messages, oldest first, as `GET /_sandbox/messages` does."""
        return self.sandbox.store.list_messages(provider, to)

    def add_fault(self, provider: str, fault: str, **more: Any) -> None:
        """Add a fault: `times` (0: unlimited), `seconds`, `match={"to": …}`."""
        self.sandbox.store.faults.append(Fault.from_json({"provider": provider, "fault": fault, **more}))

    def clear(self) -> None:
        """Delete messages and faults."""
        self.sandbox.store.clear()


@contextlib.contextmanager
def run_sandbox(
    webhook_target: str = "",
    webhook_secrets: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[RunningSandbox]:
    """Run a sandbox in a thread for the duration of the block; port 0 is a free port."""
    sandbox = Sandbox(webhook_target, webhook_secrets or {})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_start_server(sandbox, port), loop).result(10)
        bound_port = server.sockets[0].getsockname()[1]
        yield RunningSandbox(f"http://{access.LOOPBACK}:{bound_port}", sandbox)
        asyncio.run_coroutine_threadsafe(_stop_server(sandbox, server), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
