"""Recorded requests of the providers' own SDKs: the sandbox accepts them, and our own requests say the same.

`make sdk-tests` compares the recordings with the SDKs, and writes them anew with RECORD=1.
"""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from sandbox.server import RunningSandbox
from tests.sdk import recording
from tests.sdk.calls import CALLS, RecordedCall

EACH_CALL = pytest.mark.parametrize("case", CALLS, ids=lambda case: f"{case.sdk}-{case.name}")
EACH_OF_OURS = pytest.mark.parametrize(
    "case", [case for case in CALLS if case.ours], ids=lambda case: f"{case.sdk}-{case.name}"
)


def send(sandbox: RunningSandbox, request: recording.Recording) -> int:
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    try:
        target = recording.build_target(request)
        connection.request(request["method"], target, request["body"].encode() or None, request["headers"])
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@EACH_CALL
def test_the_sandbox_accepts_the_request_of_an_sdk(sandbox: RunningSandbox, case: RecordedCall) -> None:
    request = recording.load(case.sdk)[case.name]

    # The message that is asked for by its id was another sandbox's.
    assert send(sandbox, request) == (404 if case.name == "get" else 200)


@EACH_OF_OURS
def test_our_request_differs_from_the_sdks_in_known_fields_alone(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, case: RecordedCall
) -> None:
    requests = recording.record_requests(sandbox, monkeypatch)
    assert case.ours is not None
    case.ours(sandbox.url)

    theirs = recording.to_request(recording.load(case.sdk)[case.name])
    differences = recording.find_differences(requests[0], theirs)

    assert set(differences) == set(case.differences), differences


def test_a_changed_field_is_found(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = recording.load("telnyx")["send"]
    changed = {**theirs, "body": theirs["body"].replace("Hello Ada", "Hello Bob")}

    differences = recording.find_differences(recording.to_request(changed), recording.to_request(theirs))

    assert differences == {"body.text": ("Hello Bob", "Hello Ada")}


def test_every_recording_is_of_a_call() -> None:
    recorded = {(file.stem, name) for file in recording.FOLDER.glob("*.json") for name in recording.load(file.stem)}

    assert recorded == {(case.sdk, case.name) for case in CALLS}
