"""Hears many bells at once: what lies next to each other in a queue is answered, and acknowledged, by one call.

In Redis every execution has a bell of its own, so that a queue's depth is a number of executions. A worker takes many
of them ahead anyway; handing them out one by one would cost more than claiming what they ring for.

Who has nothing to do does not look every few milliseconds, as dramatiq's consumer does: it waits in Redis until a bell
is rung, by moving the list's first onto its own place, which takes nothing from anybody.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

#: Bells that one call answers at most.
MAX_BATCH_SIZE = 16
#: How long an idle consumer waits in Redis at most, before it looks whether it shall pause or stop.
LISTEN_SECONDS = 0.2
#: How long one that has taken all that it may waits before it looks again.
FULL_BACKOFF_SECONDS = 0.01


class MessageBatch(MessageProxy):
    """Several bells as one message, for an actor that takes a list of ids."""

    def __init__(self, messages: Sequence[Message[Any]]) -> None:
        first = messages[0]
        super().__init__(first.copy(args=([message.args[0] for message in messages], *first.args[1:])))
        self.messages = messages


def unpack_messages(message: MessageProxy) -> Sequence[Any]:
    """The messages in Redis that this one stands for."""
    return message.messages if isinstance(message, MessageBatch) else [message]


class BatchingConsumer(_RedisConsumer):
    """Dramatiq's consumer of one queue, which gathers the bells that it has fetched."""

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        # Of dramatiq's own waiting nothing is left.
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]

    def __next__(self) -> MessageProxy | None:
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
        """Wait until a bell may have been rung."""
        if self.outstanding_message_count >= self.prefetch:
            time.sleep(FULL_BACKOFF_SECONDS)
            return
        queue = f"{self.broker.namespace}:{self.queue_name}"
        try:
            self.broker.client.blmove(queue, queue, LISTEN_SECONDS, "LEFT", "LEFT")
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def ack(self, message: MessageProxy) -> None:
        """Done with: all that it stands for is removed from the queue."""
        messages = unpack_messages(message)
        ids = [single.options["redis_message_id"] for single in messages]
        try:
            self.broker.acknowledge(self.queue_name, ids)
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        finally:
            self.queued_message_ids.difference_update(single.message_id for single in messages)

    def nack(self, message: MessageProxy) -> None:
        """Given up: each goes to the dead letters by itself."""
        for single in unpack_messages(message):
            super().nack(single)  # type: ignore[no-untyped-call]

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Not begun: each goes back by itself."""
        super().requeue(  # type: ignore[no-untyped-call]
            [single for message in messages for single in unpack_messages(message)]
        )


def _may_be_batched(message: Any) -> bool:
    return message.actor_name == "advance" and not message.kwargs and isinstance(message.args[0], str)
