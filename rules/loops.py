"""Bounds loops: programs that answer each other's messages without end.

Each event of a contact that starts automations has a depth: 0, or one more than that of the automatic message which it
answers. A message has the depth of the event that started its execution. A tap on a button starts again at 0, because
no program taps.
"""

from __future__ import annotations

from datetime import timedelta

#: The greatest depth at which an execution still sends.
MAX_DEPTH = 10
#: An event answers a message only this long after it.
ANSWER_WINDOW = timedelta(minutes=10)
#: How far the clocks of a provider and of the database may differ.
CLOCK_TOLERANCE = timedelta(minutes=1)


def compute_depth(answered: int | None) -> int:
    """Return the depth of an event that answers a message of depth `answered`, or no automatic message."""
    return 0 if answered is None else answered + 1
