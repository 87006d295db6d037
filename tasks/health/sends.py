"""Judges whether sends are paused after a restore from a backup, in any workspace."""

from __future__ import annotations

from rules.readiness import SENDS_PAUSED
from tasks.health.facts import Facts
from tasks.health.parts import Part, Problem


def build_sends_part(facts: Facts) -> Part:
    """Build the part of all sends. Each provider's pause is a part of its workspace."""
    if not facts.is_measured("pause_counts"):
        return Part("sends", "Sends", "services", "unknown", "Pauses are in PostgreSQL, which does not answer")
    counts = [row["workspaces"] for row in facts.results["pause_counts"] if row["reason"] == "restore"]
    workspaces = max(counts, default=0)
    if not workspaces:
        return Part("sends", "Sends", "services", "ready", "not paused")
    problem = Problem(
        "sends_paused", "sends", "notice", SENDS_PAUSED,
        f"Nothing is sent in {workspaces:,} {'workspace' if workspaces == 1 else 'workspaces'}. Triggers are accepted.",
        "Run beckon restore-check, decide about what it lists, then beckon restore-check --resume.",
    )  # fmt: skip
    return Part("sends", "Sends", "services", "paused", "", problems=(problem,))
