"""What the threads of one worker process share: settings, the ledger, the leases, and the parsed workflows."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable

import structlog

from models import published
from models.database import connection
from models.engine.group_commit import CommitFuture, GroupCommit
from providers.base import LeaseLost
from rules.definition import Workflow, parse
from rules.errors import InvalidRequest
from rules.outbound_urls import ALL_NETWORKS
from rules.validation import validate
from settings import Settings
from tasks.runtime.claimed_execution import ClaimedExecution, Continuation
from tasks.runtime.completions import Completions
from tasks.runtime.executor import Executor
from tasks.runtime.leases import Leases

log = structlog.get_logger(__name__)

#: Parsed versions kept in memory; a version never changes, so none of them grows stale.
MAX_CACHED_WORKFLOWS = 1000


class Stopping(Exception):
    """This process stops: what was announced has not been said, and shall be by another."""


class Engine:
    """One worker process's part of the engine."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.group_commit = GroupCommit(self.owner, settings.lease_seconds, settings.run_tracking)
        self.leases = Leases(self.owner, settings.lease_seconds)
        self.completions = Completions()
        self.executor: Executor
        self._workflows: OrderedDict[str, Workflow] = OrderedDict()
        self._lock = threading.Lock()

    def load_workflow(self, version_id: str) -> Workflow:
        """The parsed workflow of one version; `InvalidRequest` with the reasons if it is not valid any more."""
        with self._lock:
            if version_id in self._workflows:
                self._workflows.move_to_end(version_id)
                return self._workflows[version_id]
        with connection():
            document = published.find_definition(version_id)
        if document is None:
            raise InvalidRequest("The version of the workflow that this execution began with is gone.")
        # Where its URLs lead is judged again by each call: a version outlives the list of allowed networks.
        problems = validate(document, networks=ALL_NETWORKS)
        if problems:
            reasons = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:5])
            raise InvalidRequest(f"The workflow is not valid, so nothing was done: {reasons}")
        workflow = parse(document)
        with self._lock:
            self._workflows[version_id] = workflow
            if len(self._workflows) > MAX_CACHED_WORKFLOWS:
                self._workflows.popitem(last=False)
        return workflow

    def record_intent(self, claimed: ClaimedExecution) -> Continuation[None]:
        """Have what is about to be done on record before it is done: goes on once that is durable, in whichever hand
        is free then. `LeaseLost` if the execution is another's by now; `Stopping`."""
        confirm(claimed, (yield))
        if self.executor.closed:
            raise Stopping
        self.leases.extend_if_expired(claimed)

    def start_executor(self, threads: int, work: Callable[[ClaimedExecution], bool]) -> None:
        """Have so many threads work on what is claimed; `work` answers whether a passage is over."""
        self.executor = Executor(threads, work, self.group_commit.flush)
        self.group_commit.expects_more = lambda: self.executor.is_fast

    def close(self) -> None:
        """End the threads; what was handed in is written first."""
        self.leases.close()
        self.group_commit.close()
        self.completions.close()


def confirm(claimed: ClaimedExecution, future: CommitFuture) -> None:
    """Take note that its progress is on record; `LeaseLost` if the execution is another's by now."""
    if not future.result():
        raise LeaseLost(claimed.execution_id)
    claimed.mark_recorded()


_engines: list[Engine] = []


def start(settings: Settings) -> Engine:
    """Make this process's engine. The database's pool is open already."""
    _engines[:] = [Engine(settings)]
    return _engines[0]


def get_engine() -> Engine:
    """This process's engine."""
    return _engines[0]
