"""What is sent: the kinds of entries, and one entry as JSON with the key that makes it have one effect."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beckon_client.errors import InvalidBodyError
from beckon_client.schema import MAX_EXECUTIONS, MAX_TRIGGERS

#: The API's limits: a single body, and a batch less what its frame takes.
MAX_ENTRY_BYTES = 1024 * 1024
MAX_BATCH_BYTES = 5 * 1024 * 1024 - 1024


@dataclass(frozen=True)
class Kind:
    """A kind of entry: where a single one and a batch go, and how many a batch may have."""

    name: str
    path: str
    batch_path: str
    list_name: str
    max_entries: int
    #: For how long a repeat is recognised, in seconds, less an hour.
    repeatable_seconds: float

    def format_batch(self, entries: Sequence[Entry]) -> bytes:
        """The body of a batch."""
        return b'{"%s":[%s]}' % (self.list_name.encode(), b",".join(entry.content for entry in entries))


TRIGGERS = Kind("trigger", "/api/triggers", "/api/triggers/batch", "triggers", MAX_TRIGGERS, 23 * 3600.0)
EXECUTIONS = Kind(
    "tracked execution", "/api/track-execution", "/api/track-executions", "executions", MAX_EXECUTIONS,
    90 * 24 * 3600.0 - 3600.0,
)  # fmt: skip


@dataclass(eq=False, slots=True)
class Entry:
    """One trigger or execution, as it is sent each time."""

    content: bytes
    #: When it was first sent, on the monotonic clock: its key is forgotten some time after.
    first_sent_at: float | None = field(default=None)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object."""
        body: dict[str, Any] = json.loads(self.content)
        return body

    def mark_sent(self) -> None:
        """Remember the first time."""
        self.first_sent_at = self.first_sent_at or time.monotonic()


def build_entry(fields: Mapping[str, Any]) -> Entry:
    """The entry of these fields, without those that are None. Raises `InvalidBodyError`."""
    present = {name: value for name, value in fields.items() if value is not None}
    try:
        content = json.dumps(present, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidBodyError(f"This cannot be written as JSON: {error}") from error
    if len(content) > MAX_ENTRY_BYTES:
        raise InvalidBodyError(f"This has {len(content):,} bytes as JSON. The limit is {MAX_ENTRY_BYTES:,}.")
    return Entry(content)
