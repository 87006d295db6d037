"""Fixtures of the SDK tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.server import RunningSandbox, run_sandbox
from tests.sdk.environments import call_sdk

#: Ed25519: the seed with which the sandbox signs, and what a receiver verifies with.
SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


@pytest.fixture(scope="session")
def _session_sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox(webhook_secrets={"telnyx": SEED}) as running:
        yield running


@pytest.fixture
def sandbox(_session_sandbox: RunningSandbox) -> RunningSandbox:
    """An empty sandbox."""
    _session_sandbox.clear()
    return _session_sandbox


@pytest.fixture
def call(sandbox: RunningSandbox) -> Callable[..., dict[str, Any]]:
    """Makes a call of an SDK to the sandbox."""
    return lambda sdk, name, **arguments: call_sdk(sdk, name, sandbox.url, arguments)
