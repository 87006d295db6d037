"""Escapes the values that a template inserts, as the form of its text needs: plain text, HTML, Slack's text, or JSON.

Only inserted values are escaped, so a template may contain markup itself. In JSON a value within quotes stays within
them, and one outside of quotes keeps its type. HTML is escaped by the library.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, TextIO

from liquid import RenderContext
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode, CaptureTag
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.expression import Expression
from liquid.stringify import to_liquid_string
from liquid.tag import Tag
from liquid.token import Token
from liquid.undefined import is_undefined

from rules.json_text import JsonText, dump_json
from rules.template_budget import CountedOutput

Form = Literal["text", "html", "slack", "json"]

#: What a scan for quotes passes over, and the quote: an output, a tag, an escaped character.
_JSON_MARKS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\\.|\"", re.DOTALL)
_LEADING_TAGS = re.compile(r"(?:\s|\{%-?\s*capture\b.*?endcapture\s*-?%\}|\{%.*?%\})*", re.DOTALL)
_SINGLE_OUTPUT = re.compile(r"\s*\{\{(?:(?!\}\}).)*\}\}\s*", re.DOTALL)


def is_json_template(source: str) -> bool:
    """Whether the template's text is a JSON object or list."""
    match = _LEADING_TAGS.match(source)
    start = source[match.end() : match.end() + 2] if match else ""
    return start.startswith("[") or (start.startswith("{") and start not in ("{{", "{%"))


def is_single_output(source: str) -> bool:
    """Whether the template is one output and nothing else."""
    return _SINGLE_OUTPUT.fullmatch(source) is not None


class _CapturedOutput(CountedOutput):
    """The output of a `capture`: a value, which is escaped where it is inserted."""


class _CaptureNode(CaptureNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, _buffer: TextIO) -> int:
        captured = _CapturedOutput(context.budget)  # type: ignore[attr-defined]  # a BudgetedContext
        self.block.render(context, captured)
        context.assign(self.name, captured.getvalue())
        return 0


class _Capture(CaptureTag):
    node_class = _CaptureNode


class _EscapedNode(OutputNode):
    """An output whose value is escaped by `escape`."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        is_captured = isinstance(buffer, _CapturedOutput)
        return buffer.write(to_liquid_string(value, False) if is_captured else self.escape(value))

    def escape(self, value: object) -> str:
        """Return the text to insert for the value."""
        raise NotImplementedError


class _SlackNode(_EscapedNode):
    """An output in Slack's text, which has three control characters."""

    __slots__ = ()

    def escape(self, value: object) -> str:
        return to_liquid_string(value, False).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _JsonNode(_EscapedNode):
    """An output in JSON, within a string or as a value."""

    __slots__ = ("is_quoted",)

    def __init__(self, token: Token, expression: Expression) -> None:
        super().__init__(token, expression)
        self.is_quoted = bisect(_list_quotes(token.source), token.start_index) % 2 == 1

    def escape(self, value: object) -> str:
        if self.is_quoted or is_undefined(value):
            return dump_json(to_liquid_string(value, False))[1:-1]
        return str(value) if isinstance(value, JsonText) else dump_json(value, _to_json_value)


class _SlackOutput(Output):
    node_class = _SlackNode


class _SlackEcho(EchoTag):
    node_class = _SlackNode  # type: ignore[assignment]  # only its text differs


class _JsonOutput(Output):
    node_class = _JsonNode


class _JsonEcho(EchoTag):
    node_class = _JsonNode  # type: ignore[assignment]  # only its text differs


#: The tags that insert values, by the form of the text; the library's own elsewhere.
OUTPUT_TAGS: Mapping[Form, tuple[type[Tag], ...]] = {
    "slack": (_SlackOutput, _SlackEcho, _Capture),
    "json": (_JsonOutput, _JsonEcho, _Capture),
}


def _to_json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal):
        return float(value)
    return list(value) if isinstance(value, (tuple, range)) else to_liquid_string(value, False)


@lru_cache(maxsize=256)
def _list_quotes(source: str) -> list[int]:
    """Return the positions of the quotes that begin and end the strings of a JSON template."""
    return [mark.start() for mark in _JSON_MARKS.finditer(source) if mark[0] == '"']
