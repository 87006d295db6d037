"""Runs the calls of one SDK, in that SDK's own environment: standard library only.

A program is started with the calls to make as JSON on stdin, and writes what each returned or raised as JSON to stdout.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

#: A call of an SDK: takes the sandbox's URL and the test's arguments, returns what JSON can have.
Call = Callable[..., Any]


def run(calls: Mapping[str, Call]) -> None:
    """Make the call that stdin names, and write its result, or the class and the fields of its exception."""
    order = json.load(sys.stdin)
    try:
        result = {"returned": calls[order["call"]](order["url"], **order["arguments"])}
    except Exception as error:
        result = {"raised": describe(error), "trace": traceback.format_exc()}
    json.dump(result, sys.stdout)


def describe(error: BaseException) -> dict[str, Any]:
    """Return the names of the exception's classes, and its fields that are numbers, texts or JSON."""
    classes = [kind.__name__ for kind in type(error).__mro__ if kind not in (Exception, BaseException, object)]
    fields = {name: value for name, value in vars(error).items() if _is_plain(value)}
    return {"classes": classes, "text": str(error), "fields": fields}


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
