"""An execution moves only as the table allows, and each status goes with its stages."""

from __future__ import annotations

import pytest

from rules.stages import MOVES, STAGES, STAGES_BY_STATUS, STATUSES, IllegalMove, check_move, check_status_stage


@pytest.mark.parametrize("before", STAGES)
@pytest.mark.parametrize("after", STAGES)
def test_a_move_is_allowed_only_by_the_table(before: str, after: str) -> None:
    if after in MOVES[before]:
        check_move(before, after)
        return
    with pytest.raises(IllegalMove, match=f"cannot go from {before} to {after}"):
        check_move(before, after)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_status_goes_only_with_its_stages(status: str, stage: str) -> None:
    if stage in STAGES_BY_STATUS[status]:
        check_status_stage(status, stage)
        return
    with pytest.raises(IllegalMove, match=f"that is {status} cannot be at stage {stage}"):
        check_status_stage(status, stage)


def test_what_is_finished_enters_no_further_stage() -> None:
    assert [stage for stage in STAGES if not MOVES[stage]] == ["completed", "skipped"]
