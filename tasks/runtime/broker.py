"""Configures dramatiq on Redis and enqueues notifications; every setting of the broker is here.

A notification carries an execution's id and nothing else. Losing one costs time, never work: the sweep notifies again
for every row that is due. A notification that cannot be enqueued because Redis is unavailable is logged, counted and
left to the sweep. Dramatiq's own retries are off, because attempts are counted in PostgreSQL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, cast
from uuid import uuid4

import dramatiq
import redis
import structlog
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Middleware, Retries

import metrics
from ephemeral.connection import BROKER_RESPONSE_TIMEOUT_SECONDS, build_broker_client
from settings import Settings
from tasks.runtime.consumer import BatchingConsumer
from tasks.runtime.dead_letters import explain_unreadable, find_unreadable, report_dead_letter
from tasks.runtime.middleware import MessageContext

log = structlog.get_logger(__name__)

#: The queues of outside calls; `QUEUES` adds those of direct triggers and of callbacks.
EXECUTION_QUEUES = ("executions", "generation", "sending")
QUEUES = (*EXECUTION_QUEUES, "triggers", "tracking")

#: Messages that a worker process prefetches, so that its threads never wait for the network.
PREFETCH = 200
#: How often an idle consumer thread checks whether it must pause or stop, in ms; a notification wakes it at once.
LISTENER_POLL_MS = 250
#: Maximum number of notifications in one Redis transaction.
MAX_ENQUEUE_BATCH = 1_000
#: After this many ms without a heartbeat dramatiq requeues a process's messages; PostgreSQL's leases expire sooner.
HEARTBEAT_TIMEOUT_MS = 60_000
#: Chance in a million that a command also runs maintenance for dead processes. With dramatiq's default of 0.1 % their
#: messages can stay unclaimed for an hour.
MAINTENANCE_CHANCE = 50_000

#: Errors of the broker while Redis is down, restarting, too slow or read-only.
BROKER_ERRORS = (BrokerConnectionError, redis.RedisError, OSError)

#: Removes only messages that this process still holds: after a missed heartbeat they may belong to another process.
ACKNOWLEDGE = """
local namespace, queue, broker = KEYS[1], ARGV[1], ARGV[2]
redis.call('zadd', namespace .. ':__heartbeats__', ARGV[3], broker)
local acks, ours = namespace .. ':__acks__.' .. broker .. '.' .. queue, {}
for i = 4, #ARGV do
    if redis.call('srem', acks, ARGV[i]) > 0 then
        table.insert(ours, ARGV[i])
    end
end
if next(ours) then
    redis.call('hdel', namespace .. ':' .. queue .. '.msgs', unpack(ours))
end
return #ours
"""


class NotifyingBroker(RedisBroker):
    """Dramatiq's broker with delay queues only where they are used: for producers' triggers that wait for PostgreSQL,
    and for callbacks that arrive before the answer to their send is recorded.

    An execution that must wait is a row. Polling delay queues of notifications would double the Redis commands of every
    idle process.
    """

    consumer_class = BatchingConsumer

    def get_declared_delay_queues(self) -> set[str]:
        """Return the delay queues that are polled."""
        return {dq_name("triggers"), dq_name("tracking")}

    @cached_property
    def in_progress(self) -> defaultdict[str, set[str]]:
        """The ids of the messages that this process's consumers have returned and not acknowledged, by queue."""
        return defaultdict(set)

    def return_stranded(self, queue: str) -> int:
        """Return what this process holds and does not process to the queue: the answer to a fetch was lost, or its
        consumer failed in between. Returns how many.
        """
        # First: what is acknowledged meanwhile is not stranded.
        in_progress = self.in_progress[queue].copy()
        held: Any = self.client.smembers(f"{self.namespace}:__acks__.{self.broker_id}.{queue}")
        stranded = {id.decode() for id in held} - in_progress
        if stranded:
            self.do_requeue(queue, *stranded)
        return len(stranded)

    def enqueue_all(self, queue: str, messages: Sequence[dramatiq.Message[Any]]) -> None:
        """Enqueue many notifications in one transaction, with the same commands that dramatiq uses for one message."""
        key = f"{self.namespace}:{queue}"
        ids = [message.options["redis_message_id"] for message in messages]
        with self.client.pipeline() as pipeline:
            pipeline.hset(
                f"{key}.msgs", mapping={id: message.encode() for id, message in zip(ids, messages, strict=True)}
            )
            pipeline.rpush(key, *ids)
            pipeline.execute()

    def do_fetch(self, queue_name: str, prefetch: int) -> list[bytes]:
        """Fetch up to `prefetch` messages as dramatiq does, without those that no worker can read."""
        fetched: list[bytes | None] = self.__getattr__("do_fetch")(queue_name, prefetch)  # type: ignore[no-untyped-call]
        readable = [data for data in fetched if data is not None and explain_unreadable(data) is None]
        if len(readable) < len(fetched):
            self.reject_unreadable(queue_name)
        return readable

    def reject_unreadable(self, queue: str) -> None:
        """Move the messages that this process holds and cannot process or acknowledge to the dead letters."""
        held_key, content_key = f"{self.namespace}:__acks__.{self.broker_id}.{queue}", f"{self.namespace}:{queue}.msgs"
        ids = list(self.client.smembers(held_key))
        contents: Any = self.client.hmget(content_key, ids) if ids else []
        for redis_id, reason in find_unreadable(dict(zip(ids, contents, strict=True))).items():
            self.do_nack(queue, redis_id)
            report_dead_letter(queue, redis_id, reason)

    def acknowledge(self, queue: str, ids: Sequence[str]) -> int:
        """Acknowledge many messages that this process holds, and refresh its heartbeat, as dramatiq does for each.

        Returns how many of them it held.
        """
        arguments = [queue, self.broker_id, current_millis(), *ids]
        return int(self._acknowledge(keys=[self.namespace], args=arguments))

    @cached_property
    def _acknowledge(self) -> Any:
        return self.client.register_script(ACKNOWLEDGE)


def build_middleware() -> list[Middleware]:
    """Return the middleware of every broker of ours, in place of dramatiq's default."""
    return [Retries(max_retries=0), MessageContext()]


def set_up(settings: Settings, response_seconds: float = BROKER_RESPONSE_TIMEOUT_SECONDS) -> RedisBroker:
    """Create this process's broker and declare every queue. Import the actors afterwards: they bind to it on import."""
    broker = NotifyingBroker(  # type: ignore[no-untyped-call]
        client=build_broker_client(settings, response_seconds),
        middleware=build_middleware(),
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        maintenance_chance=MAINTENANCE_CHANCE,
    )
    dramatiq.set_broker(broker)
    for queue in QUEUES:
        broker.declare_queue(queue)
    return broker


def notify(queue: str, execution_ids: Iterable[str], *, rescued: bool = False) -> int:
    """Enqueue a notification for each execution on `queue`; return how many reached Redis."""
    broker = cast(NotifyingBroker, dramatiq.get_broker())
    messages = [_build_message(queue, execution_id, rescued) for execution_id in execution_ids]
    for begin in range(0, len(messages), MAX_ENQUEUE_BATCH):
        try:
            broker.enqueue_all(queue, messages[begin : begin + MAX_ENQUEUE_BATCH])
        except BROKER_ERRORS as error:
            report_lost_notifications(len(messages) - begin, error, queue=queue)
            return begin
    return len(messages)


def report_lost_notifications(count: int, error: Exception, **context: Any) -> None:
    """Count and log notifications that Redis did not accept; a sweep repeats them."""
    metrics.count_lost_notifications(count)
    log.warning("redis is unreachable, the sweep will notify", notifications=count, error=str(error), **context)


def _build_message(queue: str, execution_id: str, rescued: bool) -> dramatiq.Message[None]:
    message_id = str(uuid4())
    return dramatiq.Message(
        queue_name=queue,
        actor_name="advance",
        args=(execution_id, queue),
        kwargs={"rescued": True} if rescued else {},
        options={"redis_message_id": message_id},
        message_id=message_id,
    )


def read_oldest_ages() -> dict[str, float]:
    """Return the age in seconds of each queue's first message that no worker has fetched; 0 for an empty queue."""
    broker: Any = dramatiq.get_broker()
    client, namespace = broker.client, broker.namespace
    ages = {}
    for queue in QUEUES:
        first = client.lindex(f"{namespace}:{queue}", 0)
        # Between the two commands a worker may have processed it.
        encoded = client.hget(f"{namespace}:{queue}.msgs", first) if first else None
        sent_at_ms = dramatiq.Message.decode(encoded).message_timestamp if encoded else current_millis()
        ages[queue] = max(0.0, (current_millis() - sent_at_ms) / 1000)
    return ages


def read_queue_depths() -> dict[str, dict[str, int]]:
    """Count the ready, delayed, unacknowledged and dead messages of each queue."""
    broker: Any = dramatiq.get_broker()
    client, namespace = broker.client, broker.namespace
    depths = {}
    for queue in QUEUES:
        ack_keys = list(client.scan_iter(match=f"{namespace}:__acks__.*.{queue}", count=1000))
        depths[queue] = {
            "ready": client.llen(f"{namespace}:{queue}"),
            "delayed": client.llen(f"{namespace}:{queue}.DQ"),
            "unacked": sum(client.scard(key) for key in ack_keys),
            "dead": client.zcard(f"{namespace}:{queue}.XQ"),
        }
    return depths
