"""The thread that delivers the buffer of one kind of entry: in order, in batches, again after temporary failures.

A request of which no answer came may have been accepted. It is sent again as it was: each entry has a key, so that the
repeat is a duplicate and has no effect.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from beckon_client import process_exit
from beckon_client.buffer import Buffer, compute_remaining
from beckon_client.configuration import Configuration
from beckon_client.entries import Entry, Kind
from beckon_client.errors import BufferFullError, ClientClosedError, DeliveryError, UnavailableError
from beckon_client.outcomes import Outcome, judge
from beckon_client.retries import compute_delay
from beckon_client.transport import ConnectionFailedError, Transport

log = logging.getLogger("beckon_client")

_CLOSED = "Not delivered before the client was closed"


@dataclass(frozen=True)
class Statistics:
    """Counts since the client was created; `buffered` is the number now, with what is being sent."""

    buffered: int = 0
    accepted: int = 0
    duplicates: int = 0
    failed: int = 0
    retries: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        """The counts of both."""
        return Statistics(
            self.buffered + other.buffered, self.accepted + other.accepted, self.duplicates + other.duplicates,
            self.failed + other.failed, self.retries + other.retries,
        )  # fmt: skip


class Sender:
    """Buffers and delivers one kind of entry. Its thread starts with the first one, and anew in a forked process."""

    def __init__(self, kind: Kind, configuration: Configuration, transport: Transport, owner: object) -> None:
        self.kind, self.configuration = kind, configuration
        # The thread keeps its sender, and so the owner, which is closed at the end of the process.
        self._owner = owner
        self._is_closed = False
        self.reset(transport)

    def reset(self, transport: Transport) -> None:
        """Start empty; a forked process leaves the entries to its parent, which still has them."""
        self._transport = transport
        self._buffer = Buffer(self.configuration.max_buffered, self.configuration.max_buffered_bytes)
        self._start_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        #: Entries of the current batch that are not settled, by identity. Removing one is the right to settle it.
        self._in_flight: dict[int, Entry] = {}
        self._hurry, self._abandoned = threading.Event(), threading.Event()
        self._accepted = self._duplicates = self._failed = self._retries = 0

    @property
    def statistics(self) -> Statistics:
        """The counts now."""
        return Statistics(len(self._buffer), self._accepted, self._duplicates, self._failed, self._retries)

    def add(self, entry: Entry, max_block_seconds: float) -> None:
        """Buffer an entry. Raises `BufferFullError` if there is no room in time, and `ClientClosedError`."""
        if self._is_closed:
            raise ClientClosedError("The client is closed.")
        self._ensure_thread()
        if not self._buffer.add(entry, max_block_seconds):
            raise BufferFullError(
                f"The buffer has {len(self._buffer):,} entries that are not delivered yet, and no room for this one."
            )

    def _ensure_thread(self) -> None:
        if self._thread is not None:
            return
        with self._start_lock:
            if self._thread is None:
                process_exit.watch_multiprocessing()
                thread = threading.Thread(target=self._run, name=f"beckon-client-{self.kind.list_name}", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise ClientClosedError("The process is ending; no thread can start.") from error
                self._thread = thread

    def hurry(self) -> None:
        """Send what is buffered now, without waiting for more or for the end of a backoff."""
        self._buffer.wait_until_settled(0)
        self._hurry.set()

    def flush(self, seconds: float) -> bool:
        """Wait until everything buffered before this call is delivered or given up; False if it takes longer."""
        self._hurry.set()
        return self._buffer.wait_until_settled(seconds)

    def close(self, seconds: float) -> bool:
        """Flush, then take no more. What is left after `seconds` goes to `on_error`; False if there was any."""
        self._is_closed = True
        is_flushed = self.flush(seconds)
        self._buffer.close()
        self._abandoned.set()
        self._hurry.set()
        if not is_flushed:
            self._give_up()
        return is_flushed

    def _give_up(self) -> None:
        for entry in self._buffer.withdraw():
            self._in_flight[id(entry)] = entry
        self._fail_as_unavailable(list(self._in_flight.values()), _CLOSED)

    def _run(self) -> None:
        while batch := self._buffer.take(self.kind.max_entries, self.configuration.linger_seconds):
            # Changed in place: `close` may add what it withdraws, at the same time.
            self._in_flight.update((id(entry), entry) for entry in batch)
            try:
                self._deliver(batch)
            except Exception as error:  # a defect must not stop the thread, nor the entries after these
                log.exception("a batch failed")
                self._fail_as_unavailable(batch, f"The client failed: {type(error).__name__}")
            if self._in_flight:
                self._fail_as_unavailable(batch, _CLOSED)

    def _deliver(self, batch: list[Entry]) -> None:
        groups, attempt = deque([batch]), 0
        while groups and not self._abandoned.is_set():
            group = self._drop_expired(groups.popleft())
            if not group:
                continue
            attempt += 1
            outcome = self._send(group, attempt)
            self._apply(outcome)
            groups.extendleft(reversed(outcome.again))
            if outcome.is_delayed:
                self._retries += 1
                self._wait(attempt, outcome.retry_after)
            else:
                attempt = 0

    def _send(self, group: Sequence[Entry], attempt: int) -> Outcome:
        for entry in group:
            entry.mark_sent()
        try:
            answer = self._transport.post(
                self.kind.batch_path, self.kind.format_batch(group), self.configuration.request_seconds
            )
        except ConnectionFailedError as error:
            log.warning("Beckon did not answer (%s); attempt %d, %d entries", error, attempt, len(group))
            return Outcome(again=[list(group)], is_delayed=True)
        outcome = judge(self.kind, group, answer, attempt)
        if not outcome.is_stored:
            log.warning("Execution tracking is switched off in Beckon: %d entries were not stored", len(group))
        if outcome.is_delayed:
            log.warning("Beckon answered %d; attempt %d, %d entries", answer.status, attempt, len(group))
        return outcome

    def _apply(self, outcome: Outcome) -> None:
        for entry in outcome.delivered:
            self._settle(entry)
        self._accepted += outcome.accepted
        self._duplicates += outcome.duplicates
        self._fail(outcome.failures)

    def _drop_expired(self, group: Sequence[Entry]) -> list[Entry]:
        """Give up entries whose key the server may have forgotten: a repeat could have a second effect."""
        oldest = time.monotonic() - self.kind.repeatable_seconds
        expired = [entry for entry in group if entry.first_sent_at is not None and entry.first_sent_at < oldest]
        self._fail_as_unavailable(expired, "Not delivered while its key was valid")
        return [entry for entry in group if entry not in expired]

    def _settle(self, entry: Entry) -> bool:
        if self._in_flight.pop(id(entry), None) is None:
            return False
        self._buffer.settle(entry)
        return True

    def _fail_as_unavailable(self, entries: Sequence[Entry], detail: str) -> None:
        self._fail([(entry, UnavailableError(detail, body=entry.body)) for entry in entries])

    def _fail(self, failures: Sequence[tuple[Entry, DeliveryError]]) -> None:
        """Report entries and forget them, except those that somebody else has settled."""
        unsettled = [failure for failure in failures if self._in_flight.pop(id(failure[0]), None) is not None]
        self._failed += len(unsettled)
        report(self.configuration, self.kind, [error for _, error in unsettled])
        for entry, _ in unsettled:
            self._buffer.settle(entry)

    def _wait(self, attempt: int, retry_after: float | None) -> None:
        """Wait before a retry. A flush cuts a backoff short once, but not the wait that the server asked for."""
        ended = self._hurry if retry_after is None else self._abandoned
        ended.wait(compute_delay(attempt, retry_after))
        if not self._abandoned.is_set():
            self._hurry.clear()


def report(configuration: Configuration, kind: Kind, errors: Sequence[DeliveryError]) -> None:
    """Give each error to `on_error`; without it, log each different one once with its count."""
    if configuration.on_error is None:
        for text, count in Counter(map(str, errors)).items():
            log.error("%d %s%s not delivered: %s", count, kind.name, "" if count == 1 else "s", text)
        return
    for error in errors:
        try:
            configuration.on_error(error)
        except Exception:
            log.exception("on_error failed")


def flush_within(senders: Sequence[Sender], seconds: float) -> bool:
    """Flush them together within `seconds`; whether everything was delivered or given up by then."""
    deadline = time.monotonic() + seconds
    for sender in senders:
        sender.hurry()
    results = [sender.flush(compute_remaining(deadline)) for sender in senders]
    return all(results)


def close_within(senders: Sequence[Sender], seconds: float) -> bool:
    """Close them together within `seconds`; whether everything was delivered or given up by then."""
    deadline = time.monotonic() + seconds
    for sender in senders:
        sender.hurry()
    results = [sender.close(compute_remaining(deadline)) for sender in senders]
    return all(results)
