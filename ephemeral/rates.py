"""What happens a minute, for display only: executions into and out of a queue, and the calls of each provider.

A process counts in memory and flushes with its heartbeat, so that no execution pays for a request to Redis. Counts of a
process that is killed, or that cannot reach Redis, are lost. Each count belongs to a workspace; the sums over all
workspaces are kept beside, for the deployment owner. Redis's clock decides the minute.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

from ephemeral.connection import get_ephemeral

#: The minutes that are kept and shown.
MINUTES = 30
#: The scope of the sums over all workspaces, and of what belongs to none.
ALL_WORKSPACES = ""
#: Upper bounds of the durations of a provider's calls, from 10 ms to 45 s in steps of 15 %, in milliseconds; longer
#: calls are beyond the last.
_BOUNDS_MS = tuple(round(10 * 1.15**step) for step in range(61))
#: Counts in one command at most.
_MAX_BATCH = 500

_FLUSH = """
local minute = math.floor(redis.call('TIME')[1] / 60)
for i = 2, #ARGV, 3 do
    local key = 'rates:' .. ARGV[i] .. ':' .. minute
    redis.call('HINCRBY', key, ARGV[i + 1], ARGV[i + 2])
    redis.call('EXPIRE', key, ARGV[1])
end
"""

_lock = threading.Lock()
_counts: Counter[tuple[str, str]] = Counter()

#: The counts of one scope: a series of `MINUTES` numbers by name, the current minute last.
Series = Mapping[str, Sequence[int]]


def count_in(workspace_id: str, queue: str, count: int = 1) -> None:
    """Count executions that a queue was notified of."""
    _add(workspace_id, f"in:{queue}", count)


def count_out(workspace_id: str, queue: str, count: int = 1) -> None:
    """Count executions that a worker took from a queue."""
    _add(workspace_id, f"out:{queue}", count)


def count_call(workspace_id: str, provider: str, seconds: float, *, accepted: bool) -> None:
    """Count a call of a provider, and how long it took."""
    _add(workspace_id, f"{'accepted' if accepted else 'failed'}:{provider}", 1)
    _add(workspace_id, f"ms:{provider}:{bisect_left(_BOUNDS_MS, seconds * 1000)}", 1)


def _add(workspace_id: str, name: str, count: int) -> None:
    with _lock:
        _counts[workspace_id, name] += count


def flush() -> None:
    """Add this process's counts to Redis. Raises `ephemeral.connection.ERRORS` without Redis: the counts are lost."""
    with _lock:
        counts = _counts.copy()
        _counts.clear()
    sums: Counter[tuple[str, str]] = Counter()
    for (_, name), count in counts.items():
        sums[ALL_WORKSPACES, name] += count
    script = get_ephemeral().register_script(_FLUSH)
    entries = iter([*((key, count) for key, count in counts.items() if key[0]), *sums.items()])
    while batch := list(islice(entries, _MAX_BATCH)):
        script(args=[(MINUTES + 2) * 60, *(part for key, count in batch for part in (*key, count))])


def read(workspace_id: str = ALL_WORKSPACES) -> Series:
    """Return the counts of a workspace, or of all. Raises `ephemeral.connection.ERRORS` without Redis."""
    client = get_ephemeral()
    minute = int(client.time()[0]) // 60
    pipe = client.pipeline(transaction=False)
    for ago in reversed(range(MINUTES)):
        pipe.hgetall(f"rates:{workspace_id}:{minute - ago}")
    series: dict[str, list[int]] = {}
    for index, values in enumerate(pipe.execute()):
        for name, count in values.items():
            series.setdefault(name, [0] * MINUTES)[index] = int(count)
    return series


def get(series: Series, name: str) -> Sequence[int]:
    """Return the numbers of a name, such as `in:sending`; zeros where nothing was counted."""
    return series.get(name) or [0] * MINUTES


def compute_p95_ms(series: Series, provider: str) -> int | None:
    """Return the 95th percentile of a provider's call durations, in milliseconds; None without a call.

    It is the upper bound of the range that the percentile lies in.
    """
    counts = [sum(get(series, f"ms:{provider}:{index}")) for index in range(len(_BOUNDS_MS) + 1)]
    rank, seen = sum(counts) * 0.95, 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            return _BOUNDS_MS[min(index, len(_BOUNDS_MS) - 1)]
    return None
