"""JSON for PostgreSQL, from any response of a provider or an AI model.

PostgreSQL stores neither NUL nor lone surrogates. The API rejects producers' requests that contain them; a provider's
response after a message was sent must be recorded in any case, so they are removed here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson


def dump_json(value: Any) -> str:
    """Return `value` as JSON; datetimes become RFC 3339 strings."""
    try:
        text = orjson.dumps(value, default=_convert, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate, or a number of more than 64 bits.
        return _dump_slowly(value)
    return _dump_slowly(value) if "\\u0000" in text else text


def _dump_slowly(value: Any) -> str:
    return json.dumps(_clean(value), default=_convert, ensure_ascii=False)


def _convert(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "").encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_clean(name): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    # JSON has no infinity or NaN: parsing turns a number that is too large into infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value
