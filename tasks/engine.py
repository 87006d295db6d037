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
from models.ledger import Answer, Ledger
from providers.base import LeaseLost
from rules.definition import Workflow, parse
from rules.errors import InvalidRequest
from rules.outbound_urls import ANYWHERE
from rules.validation import validate
from settings import Settings
from tasks.hands import Hands
from tasks.last_words import LastWords
from tasks.leases import Leases
from tasks.passage import Course, Passage

log = structlog.get_logger(__name__)

#: Parsed versions kept in memory; a version never changes, so none of them grows stale.
WORKFLOWS_KEPT = 1000


class Stopping(Exception):
    """This process stops: what was announced has not been said, and shall be by another."""


class Engine:
    """One worker process's part of the engine."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.ledger = Ledger(self.owner, settings.lease_seconds, settings.run_tracking)
        self.leases = Leases(self.owner, settings.lease_seconds)
        self.last_words = LastWords()
        self.hands: Hands
        self._workflows: OrderedDict[str, Workflow] = OrderedDict()
        self._lock = threading.Lock()

    def workflow(self, version_id: str) -> Workflow:
        """The parsed workflow of one version; `InvalidRequest` with the reasons if it is not valid any more."""
        with self._lock:
            if version_id in self._workflows:
                self._workflows.move_to_end(version_id)
                return self._workflows[version_id]
        with connection():
            document = published.definition(version_id)
        if document is None:
            raise InvalidRequest("The version of the workflow that this execution began with is gone.")
        # Where its URLs lead is judged again by each call: a version outlives the list of allowed networks.
        problems = validate(document, networks=ANYWHERE)
        if problems:
            reasons = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:5])
            raise InvalidRequest(f"The workflow is not valid, so nothing was done: {reasons}")
        workflow = parse(document)
        with self._lock:
            self._workflows[version_id] = workflow
            if len(self._workflows) > WORKFLOWS_KEPT:
                self._workflows.popitem(last=False)
        return workflow

    def announce(self, passage: Passage) -> Course[None]:
        """Have what is about to be done on record before it is done: goes on once that is durable, in whichever hand
        is free then. `LeaseLost` if the execution is another's by now; `Stopping`."""
        heed(passage, (yield))
        if self.hands.closed:
            raise Stopping
        self.leases.keep(passage)

    def employ(self, hands: int, work: Callable[[Passage], bool]) -> None:
        """Have so many threads work on what is claimed; `work` answers whether a passage is over."""
        self.hands = Hands(hands, work, self.ledger.hurry)
        self.ledger.expects_more = lambda: self.hands.are_quick

    def close(self) -> None:
        """End the threads; what was handed in is written first."""
        self.leases.close()
        self.ledger.close()
        self.last_words.close()


def heed(passage: Passage, recorded: Answer) -> None:
    """Take note that its progress is on record; `LeaseLost` if the execution is another's by now."""
    if not recorded.result():
        raise LeaseLost(passage.execution_id)
    passage.recorded()


_engines: list[Engine] = []


def start(settings: Settings) -> Engine:
    """Make this process's engine. The database's pool is open already."""
    _engines[:] = [Engine(settings)]
    return _engines[0]


def current() -> Engine:
    """This process's engine."""
    return _engines[0]
