"""Reasons of readiness that other programs recognise by their text."""

from __future__ import annotations

#: Of `GET /readyz` after `beckon up --paused`, until every send is resumed.
SENDS_PAUSED = "Sends are paused after a restore"
