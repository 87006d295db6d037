"""Holds what the threads of one worker process share: settings, group commit, leases, pools and parsed workflows.

A pool is the executor of one queue. Each has threads of its own, so that a slow model never holds up a send.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from ephemeral import workflow_cache
from models import published
from models.database import connection
from models.engine.group_commit import CommitFuture, GroupCommit
from providers.base import LeaseLost
from rules.definition import Workflow, parse
from rules.errors import InvalidRequest
from rules.outbound_urls import ALL_NETWORKS
from rules.stages import Queue
from rules.validation import validate
from settings import Settings
from tasks.runtime.claimed_execution import ClaimedExecution, Continuation
from tasks.runtime.completions import Completions
from tasks.runtime.execution_log import log_record
from tasks.runtime.executor import Executor
from tasks.runtime.leases import Leases
from tasks.runtime.provider_threads import open_pool
from tasks.runtime.shortfalls import Shortfalls

log = structlog.get_logger(__name__)


class Stopping(Exception):
    """The process stops: the outside call of a recorded intent was not made, and another process must make it."""


class Engine:
    """The engine of one worker process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.group_commit = GroupCommit(self.owner, settings.lease_seconds, settings.run_tracking)
        self.leases = Leases(self.owner, settings.lease_seconds)
        self.completions = Completions()
        #: The executor of each queue that this process serves.
        self.pools: dict[Queue, Executor] = {}
        #: The missing claims of each of these queues.
        self.shortfalls: dict[Queue, Shortfalls] = {}

    def load_workflow(self, version_id: str) -> Workflow:
        """Return the parsed workflow of a version; raise `InvalidRequest` with the reasons if it is no longer valid."""
        workflow: Workflow = workflow_cache.versions.get(version_id, lambda: _load_workflow(version_id))
        return workflow

    def record_intent(self, claimed: ClaimedExecution) -> Continuation[None]:
        """Record what the next outside call will do before it is made; continue on any free thread once that is
        durable. Raises `LeaseLost` where another process has claimed the execution, and `Stopping` on shutdown."""
        confirm(claimed, (yield))
        if self.pools[claimed.queue].closed:
            raise Stopping
        self.leases.extend_all_if_expired(claimed)

    def start_pools(
        self,
        threads: Mapping[Queue, int],
        work: Callable[[ClaimedExecution], bool],
        claim_due: Callable[[Queue, int], int],
    ) -> None:
        """Start the threads of each queue for claimed executions.

        `work` returns whether it is finished with one; `claim_due` claims and starts up to that many due ones.
        """
        self.pools = {queue: Executor(count, work, self._flush_if_idle, queue) for queue, count in threads.items()}
        for queue, pool in self.pools.items():
            pool.count_lent = open_pool(queue, pool.size).count_lent
            self.shortfalls[queue] = Shortfalls(queue, partial(claim_due, queue))
        self.group_commit.expects_more = lambda: any(pool.is_fast for pool in self.pools.values())

    def transfer(self, claimed: ClaimedExecution, queue: Queue) -> bool:
        """Continue a claimed execution in another pool of this process, under the same lease and without a record.

        Returns False where that pool is full, stops or is not this process's; nothing has changed then. After True the
        execution belongs to the other pool's threads.
        """
        pool, own_queue = self.pools.get(queue), claimed.queue
        if pool is None:
            return False
        claimed.queue = queue
        if pool.try_submit(claimed):
            return True
        claimed.queue = own_queue
        return False

    def _flush_if_idle(self) -> None:
        if all(pool.is_idle for pool in self.pools.values()):
            self.group_commit.flush()

    def close(self) -> None:
        """End the threads; submitted records are written first."""
        for shortfalls in self.shortfalls.values():
            shortfalls.close()
        self.leases.close()
        self.group_commit.close()
        self.completions.close()


def confirm(claimed: ClaimedExecution, future: CommitFuture) -> None:
    """Note that a submitted record is durable. Raises `LeaseLost` where another process has claimed the execution."""
    if not future.result():
        raise LeaseLost(claimed.execution_id)
    claimed.mark_recorded()
    log_record(claimed)


def _load_workflow(version_id: str) -> Workflow:
    with connection():
        document = published.find_definition(version_id)
    if document is None:
        raise InvalidRequest("The workflow version of this execution no longer exists. Start a new execution.")
    # Each call checks its URL again: a version outlives the list of allowed networks.
    problems = validate(document, networks=ALL_NETWORKS)
    if problems:
        reasons = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:5])
        raise InvalidRequest(f"The workflow is not valid, so nothing was done: {reasons}")
    return parse(document)


_engine: Engine | None = None


def start(settings: Settings) -> Engine:
    """Create this process's engine. Requires an open database pool."""
    global _engine
    _engine = Engine(settings)
    return _engine


def get_engine() -> Engine:
    """Return this process's engine."""
    assert _engine is not None, "the engine is not started"
    return _engine
