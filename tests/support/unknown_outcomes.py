"""Moves messages of unknown outcome through their look-ups, as if their time had come."""

from __future__ import annotations

from models.queries import execute
from settings import Settings
from tasks import periodic_jobs


def look_up_after(settings: Settings, seconds: float) -> None:
    """Look up every message of unknown outcome as so many seconds after its send; returns without the answers."""
    execute(
        "update messages set sending_at = beckon_now() - make_interval(secs => %s), look_up_at = beckon_now() "
        "where status = 'outcome_unknown' and look_up_at is not null",
        (seconds,),
    )
    periodic_jobs.reconcile_unknown_outcomes(settings)
