"""The tree of errors: each leaf is the one whole row of its class, and an error keeps what the provider said."""

from __future__ import annotations

import pytest

from rules.errors import BY_CLASS, ExecutionError, NetworkError, PermanentError, RetryableError

FIELDS = ("label", "fault", "short_remedy")


@pytest.mark.parametrize("error_type", BY_CLASS.values(), ids=BY_CLASS)
def test_a_leaf_has_its_own_name_label_fault_and_remedy(error_type: type[ExecutionError]) -> None:
    assert all(error_type.__dict__[field] for field in ("error_class", *FIELDS))


def test_no_two_leaves_share_a_name() -> None:
    branches = [ExecutionError, *ExecutionError.__subclasses__()]
    leaves = [leaf for branch in branches for leaf in branch.__subclasses__() if not leaf.__subclasses__()]
    assert set(leaves) == set(BY_CLASS.values())


def test_only_the_branch_of_temporary_errors_is_retried() -> None:
    assert {error for error in BY_CLASS.values() if error.retryable} == set(RetryableError.__subclasses__())
    assert not any(error.retryable for error in PermanentError.__subclasses__())


def test_an_error_keeps_the_providers_code_its_wait_and_the_suppression() -> None:
    error = NetworkError("no route", provider_code="101", retry_after=7.5, suppress_channel=True)
    assert (str(error), error.message, error.provider_code) == ("no route", "no route", "101")
    assert (error.retry_after, error.suppress_channel) == (7.5, True)


def test_an_error_asks_for_no_wait_and_no_suppression_by_itself() -> None:
    error = ExecutionError("broken")
    assert (error.provider_code, error.retry_after, error.suppress_channel) == (None, None, False)
