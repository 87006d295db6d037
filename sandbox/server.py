"""PRETENDS. One small server that speaks every provider's API, keeps what it accepted, and fails on demand.

`serve` is the program; `running` is the same in a thread for tests. Scripts use `/_sandbox/…` as the contract says:
`GET messages`, `POST faults`, `POST events`, and `DELETE /_sandbox`. It stores nothing on disk and accepts any
credentials, so it listens on loopback alone and takes nothing from web pages (`sandbox.access`).
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

from sandbox import access, callbacks, exchange, faults
from sandbox.exchange import Answer, Asked
from sandbox.heard import Heard
from sandbox.memory import Fault, Memory
from sandbox.voices import hear

log = structlog.get_logger(__name__)

#: Seconds that open connections get to finish when the program is told to stop.
GRACE_SECONDS = 1.0


@dataclass
class Sandbox:
    """The server's state: its memory, and where and with which secrets it calls our webhooks."""

    webhook_target: str = ""
    webhook_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory: Memory = field(default_factory=Memory)
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        self.open.add(writer)
        port = int(writer.get_extra_info("sockname")[1])
        try:
            while (asked := await exchange.read(reader)) is not None:
                answer = access.refusal(asked, port) or await self.answered(asked, reader)
                if answer is None:
                    exchange.cut(writer)
                    return
                writer.write(answer.encoded(with_body=asked.method != "HEAD"))
                await writer.drain()
                if asked.headers.get("connection", "").lower() == "close":
                    return
        except exchange.Malformed as error:
            writer.write(Answer(400, f"not a request: {error}", {"Connection": "close"}).encoded())
        except ConnectionError:
            return
        finally:
            self.open.discard(writer)
            writer.close()

    async def answered(self, asked: Asked, reader: asyncio.StreamReader) -> Answer | None:
        """The answer to one request; None breaks the connection."""
        if access.is_for_scripts(asked):
            return await self.scripted(asked)
        heard = hear(asked, self.memory)
        if heard is None:
            return Answer(404, {"message": f"the sandbox knows no provider with {asked.method} {asked.path}"})
        fault = self.memory.next_fault(heard.provider, heard.to, heard.call)
        return await self.faulty(heard, fault, reader) if fault else self.accepted(heard)

    def accepted(self, heard: Heard) -> Answer:
        if heard.message is not None:
            self.memory.accept(heard.message)
        return heard.answer

    async def faulty(self, heard: Heard, fault: Fault, reader: asyncio.StreamReader) -> Answer | None:
        """Play a fault. `slow`, `reset_after` and `bad_json` accept the message; the others do not."""
        match fault.fault:
            case "http_500":
                return faults.internal_error(heard.provider)
            case "http_429":
                return faults.rate_limited(heard.provider, fault.seconds)
            case "auth":
                return faults.key_refused(heard.provider)
            case "refused":
                return faults.refused(fault.code, fault.subcode)
            case "blocked" | "empty" | "cut_short":
                return faults.unwritten(heard.provider, fault.fault)
            case "timeout":
                await _hung_up(reader, fault.seconds)
                return None
            case "slow":
                answer = self.accepted(heard)
                return None if await _hung_up(reader, fault.seconds) else answer
            case "reset_after":
                self.accepted(heard)
                return None
            case "bad_json":
                return Answer(self.accepted(heard).status, faults.GARBAGE)
        return None

    async def scripted(self, asked: Asked) -> Answer:
        """The endpoints for scripts."""
        match (asked.method, asked.path.rstrip("/")):
            case ("GET", "/_sandbox/messages"):
                query = asked.query
                found = self.memory.found(query.get("provider") or None, query.get("to") or None)
                return Answer(200, {"messages": found})
            case ("POST", "/_sandbox/faults"):
                try:
                    self.memory.faults.append(Fault.from_json(asked.json()))
                except ValueError as error:
                    return Answer(422, {"success": False, "detail": str(error)})
                return Answer(201, {"success": True})
            case ("DELETE", "/_sandbox"):
                self.memory.clear()
                return Answer(200, {"success": True})
            case ("POST", "/_sandbox/events"):
                return await self.play(asked.json())
            case ("GET", "/_sandbox" | "/_sandbox/health"):
                return Answer(200, {"success": True, "messages": len(self.memory.messages)})
        return Answer(404, {"success": False, "detail": f"no {asked.method} {asked.path} here"})

    async def play(self, body: Mapping[str, Any]) -> Answer:
        """Call our webhook, signed: with an event of an accepted message, or with what a person begins."""
        message = self.memory.named(str(body["messageId"])) if body.get("messageId") else None
        if message is None and body.get("messageId"):
            return Answer(404, {"success": False, "detail": "no message with this messageId was accepted"})
        try:
            if message is None:
                made = callbacks.begun(body, self.webhook_secrets, self.memory.commenters)
            else:
                person = str(body.get("from") or self.memory.commenters.get(message.to) or message.to)
                made = callbacks.made(message, body, self.webhook_secrets, person)
        except ValueError as error:
            return Answer(422, {"success": False, "detail": str(error)})
        status = await asyncio.to_thread(callbacks.deliver, self.webhook_target, made)
        taken = status is not None and status < 300
        return Answer(200 if taken else 502, {"success": taken, "status": status})


async def _hung_up(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Wait so long, or until the other side closes; True if it did."""
    try:
        await asyncio.wait_for(reader.read(1), seconds)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


async def _started(sandbox: Sandbox, port: int) -> asyncio.Server:
    return await asyncio.start_server(sandbox.connected, access.LOOPBACK, port, backlog=512, limit=256 * 1024)


async def _stopped(sandbox: Sandbox, server: asyncio.Server) -> None:
    server.close()
    for writer in list(sandbox.open):
        writer.close()
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if running:
        _, late = await asyncio.wait(running, timeout=GRACE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def serve(port: int, webhook_target: str, webhook_secrets: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT. `webhook_target` is the dashboard's address.

    `webhook_secrets`: `mailgun` the signing key, `telnyx` the Ed25519 seed in base64, `meta` the app secret.
    """
    asyncio.run(_serve(Sandbox(webhook_target, webhook_secrets), port))


async def _serve(sandbox: Sandbox, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    server = await _started(sandbox, port)
    log.info("sandbox is listening", host=access.LOOPBACK, port=port)
    await stop.wait()
    await _stopped(sandbox, server)


@dataclass(frozen=True)
class Running:
    """A sandbox in a thread of this process."""

    url: str
    sandbox: Sandbox

    def messages(self, provider: str | None = None, to: str | None = None) -> list[dict[str, Any]]:
        """What it accepted, oldest first, as `GET /_sandbox/messages` shows it."""
        return self.sandbox.memory.found(provider, to)

    def fault(self, provider: str, fault: str, **more: Any) -> None:
        """Ask for a fault: `times` (0: forever), `seconds`, `match={"to": …}`."""
        self.sandbox.memory.faults.append(Fault.from_json({"provider": provider, "fault": fault, **more}))

    def clear(self) -> None:
        """Forget messages and faults."""
        self.sandbox.memory.clear()


@contextlib.contextmanager
def running(
    webhook_target: str = "",
    webhook_secrets: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[Running]:
    """A sandbox on a free port for as long as the block lasts."""
    sandbox = Sandbox(webhook_target, webhook_secrets or {})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_started(sandbox, port), loop).result(10)
        bound = server.sockets[0].getsockname()[1]
        yield Running(f"http://{access.LOOPBACK}:{bound}", sandbox)
        asyncio.run_coroutine_threadsafe(_stopped(sandbox, server), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
