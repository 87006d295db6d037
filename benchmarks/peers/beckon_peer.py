"""Beckon: a workflow of a check, a generated text and an e-mail; its programs run as they do in production."""

from __future__ import annotations

import os
from collections.abc import Sequence

import own_engine
import program

from rules.trigger_requests import TriggerRequest
from tasks.intake.single_triggers import accept_single
from tasks.intake.triggers import accept


def _open_producer() -> program.Enqueue:
    own_engine.connect(program.PRODUCERS + 4)
    workspace_id = os.environ["PEERS_WORKSPACE_ID"]

    def enqueue(numbers: Sequence[int]) -> None:
        requests = [_build_request(number) for number in numbers]
        if len(requests) == 1:
            accept_single(workspace_id, requests[0], "api", 200)
        else:
            accept(workspace_id, requests, "api")

    return enqueue


def _build_request(number: int) -> TriggerRequest:
    person = {"external_id": f"b{number}", "first_name": "Ada", "email": f"beckon{number}@example.com"}
    return TriggerRequest("benchmark.started", None, person, {})


if __name__ == "__main__":
    program.produce(_open_producer())
