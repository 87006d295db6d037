"""The tree of errors: each leaf is the one whole row of its error class."""

from __future__ import annotations

import pytest

from rules.errors import BY_CLASS, ExecutionError, PermanentError, RetryableError

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
