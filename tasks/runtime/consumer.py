"""Consumes notifications in batches: adjacent messages of a queue are processed, and acknowledged, by one call.

In Redis every execution has its own notification, so that a queue's depth is a number of executions. A worker
prefetches many of them; dispatching them one by one would cost more than claiming their executions.

An idle consumer does not poll every few milliseconds, as dramatiq's does. It blocks in Redis until a message arrives,
with BLMOVE of the list's head onto its own position, which removes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import q_name
from dramatiq.errors import ConnectionClosed

#: Maximum number of notifications in one call.
MAX_BATCH_SIZE = 16
#: How long an idle consumer blocks in Redis before it checks whether it must pause or stop.
LISTEN_SECONDS = 0.2
#: How long a consumer with a full prefetch waits before it checks again.
FULL_BACKOFF_SECONDS = 0.01


class MessageBatch(MessageProxy):
    """Several notifications as one message, for an actor that takes a list of ids."""

    def __init__(self, messages: Sequence[Message[Any]]) -> None:
        first = messages[0]
        super().__init__(first.copy(args=([message.args[0] for message in messages], *first.args[1:])))
        self.messages = messages


def unpack_messages(message: MessageProxy) -> Sequence[Any]:
    """Return the messages in Redis that `message` stands for."""
    return message.messages if isinstance(message, MessageBatch) else [message]


class BatchingConsumer(_RedisConsumer):
    """Dramatiq's consumer of one queue, which batches the notifications that it has fetched."""

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        # A timeout of 0 turns off dramatiq's own wait; `_listen` replaces it.
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]
        self._in_progress: set[str] = broker.in_progress[queue_name]
        self._has_checked = False
        if queue_name != q_name(queue_name):
            # Dramatiq forgets delayed messages when their consumer fails.
            self._in_progress.clear()

    def __next__(self) -> MessageProxy | None:
        self._return_stranded()
        message = self._take()
        if message is not None:
            self._in_progress.update(_list_redis_ids(message))
        return message

    def _return_stranded(self) -> None:
        """Once, at the start: what an earlier consumer of this process fetched and never returned."""
        if self._has_checked:
            return
        try:
            self.broker.return_stranded(self.queue_name)
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        self._has_checked = True

    def _take(self) -> MessageProxy | None:
        first: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        if first is None:
            self._listen()
            return None
        if not _may_be_batched(first):
            return first
        messages = [first._message]
        while self.message_cache and self.message_cache[0] is not None and len(messages) < MAX_BATCH_SIZE:
            message = Message.decode(self.message_cache[0])
            if not _may_be_batched(message):
                break
            self.message_cache.pop(0)
            self.queued_message_ids.add(message.message_id)
            messages.append(message)
        return first if len(messages) == 1 else MessageBatch(messages)

    def _listen(self) -> None:
        """Wait until a message may have arrived."""
        if self.outstanding_message_count >= self.prefetch:
            time.sleep(FULL_BACKOFF_SECONDS)
            return
        queue = f"{self.broker.namespace}:{self.queue_name}"
        try:
            self.broker.client.blmove(queue, queue, LISTEN_SECONDS, "LEFT", "LEFT")
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge every message that this one stands for."""
        messages, ids = unpack_messages(message), _list_redis_ids(message)
        try:
            # One that names another id than its own is processed and would stay unacknowledged.
            if self.broker.acknowledge(self.queue_name, ids) < len(ids):
                self.broker.reject_unreadable(self.queue_name)
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        finally:
            self.queued_message_ids.difference_update(single.message_id for single in messages)
        self._in_progress.difference_update(ids)

    def nack(self, message: MessageProxy) -> None:
        """Reject: each message goes to the dead letters separately."""
        for single in unpack_messages(message):
            super().nack(single)  # type: ignore[no-untyped-call]
        self._in_progress.difference_update(_list_redis_ids(message))

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return unstarted messages to the queue, each separately."""
        returned = [single for message in messages for single in unpack_messages(message)]
        try:
            super().requeue(returned)  # type: ignore[no-untyped-call]
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]


def _list_redis_ids(message: MessageProxy) -> list[str]:
    return [single.options["redis_message_id"] for single in unpack_messages(message)]


def _may_be_batched(message: Any) -> bool:
    return message.actor_name == "advance" and not message.kwargs and isinstance(message.args[0], str)
