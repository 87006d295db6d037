"""When a message of unknown outcome is looked up at its provider, which lists it some time after accepting it."""

from __future__ import annotations

#: Seconds before each look-up, after the failure or the look-up before it.
LOOK_UP_DELAYS_SECONDS = (5.0, 20.0, 60.0, 300.0)
