"""The limits of what a contact has in all: each request keeps them by itself, and many together could exceed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rules.contacts import MAX_ATTRIBUTES_BYTES, MAX_TAGS, measure_attributes


class Excess(NamedTuple):
    """A field that a change would bring over its limit, and why."""

    field: str
    message: str


def find_excess(before: Mapping[str, Any], after: Mapping[str, Any]) -> Excess | None:
    """Return what a change of a contact's tags and attributes would bring over its limit.

    A contact that is over it already may be changed as long as it does not grow.
    """
    count = len(after["tags"])
    if count > MAX_TAGS and count > len(before["tags"]):
        return Excess("tags", f"the contact would have {count} tags; at most {MAX_TAGS} are possible")
    if after["attributes"] == before["attributes"]:
        return None
    size = measure_attributes(after["attributes"])
    if size > MAX_ATTRIBUTES_BYTES and size > measure_attributes(before["attributes"]):
        limit = f"{MAX_ATTRIBUTES_BYTES // 1024} KiB"
        return Excess("attributes", f"the contact's attributes would have {size:,} bytes; at most {limit} are possible")
    return None
