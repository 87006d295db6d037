"""When a problem of the deployment was first seen, by any process: each one measures for itself.

A problem that a process no longer sees in a part that it measured has ended. Times are kept for a day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from ephemeral.connection import get_ephemeral

_KEY = "problem-times"
_LIFETIME_SECONDS = 86_400

#: A problem's part and its key.
ProblemId = tuple[str, str]


def keep(parts: Collection[str], seen: Mapping[ProblemId, datetime]) -> dict[ProblemId, datetime]:
    """Keep when each problem was first seen: `seen` has the times of this process. Forget others of these parts.

    Returns the earliest times. Raises `ephemeral.connection.ERRORS` without Redis.
    """
    client = get_ephemeral()
    fields = {f"{part} {key}": (part, key) for part, key in seen}
    stored: dict[str, str] = client.hgetall(_KEY)  # type: ignore[assignment]
    ended = [field for field in stored if field.split(" ")[0] in parts and field not in fields]
    pipe = client.pipeline()
    if ended:
        pipe.hdel(_KEY, *ended)
    for field in fields.keys() - stored.keys():
        pipe.hsetnx(_KEY, field, seen[fields[field]].isoformat())
        pipe.expire(_KEY, _LIFETIME_SECONDS)
    if len(pipe):
        pipe.execute()
        stored = client.hgetall(_KEY)  # type: ignore[assignment]
    return {fields[field]: datetime.fromisoformat(text) for field, text in stored.items() if field in fields}
