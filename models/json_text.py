"""JSON for PostgreSQL, of whatever a provider or an AI may have answered.

PostgreSQL keeps no NUL and no lone surrogates. What we accept from producers is refused for them at the door; what
comes back from the outside world after a message was sent must be recorded all the same, so here they are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson


def dump_json(value: Any) -> str:
    """`value` as JSON; moments become RFC 3339 texts."""
    try:
        text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate, or a number of more than 64 bits.
        return _dump_slowly(value)
    return _dump_slowly(value) if "\\u0000" in text else text


def _dump_slowly(value: Any) -> str:
    return json.dumps(_clean(value), default=str, ensure_ascii=False)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "").encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_clean(name): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    # What no JSON can say: a number that is too large becomes infinite on the way in.
    return None if isinstance(value, float) and not math.isfinite(value) else value
