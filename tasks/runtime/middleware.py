"""Wraps every actor: binds the message's ids to its log lines and measures how long the message waited."""

from __future__ import annotations

import time
from typing import Any

import structlog
from dramatiq import Broker
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware

import metrics
from ephemeral import rates
from tasks.runtime.consumer import unpack_messages


class MessageContext(Middleware):
    """Binds the message's ids to every log line written while an actor runs."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Bind the ids."""
        structlog.contextvars.bind_contextvars(message_id=message.message_id, queue=message.queue_name)
        now, waits = time.time(), metrics.queue_wait_seconds.labels(queue=message.queue_name)
        for single in unpack_messages(message):
            waits.observe(max(0.0, now - single.message_timestamp / 1000))
        # An execution leaves its queue with its claim, which knows its workspace.
        if message.actor_name != "advance":
            rates.count_out(rates.ALL_WORKSPACES, message.queue_name)

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """Unbind the ids: the thread is reused for other messages."""
        structlog.contextvars.unbind_contextvars("message_id", "queue")

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Unbind the ids of a message that was not processed."""
        structlog.contextvars.unbind_contextvars("message_id", "queue")
