"""Texts with gaps: Liquid templates, compiled once and rendered strictly.

A variable that is not there fails the step with its name, unless the template says `default`; one that is known and
null is empty. An `if` on a variable that is not there is false. No template reads a file, another template or a
clock, and what one may cost is bounded: its size, its loops and what it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from liquid import Environment
from liquid.exceptions import LiquidError, UndefinedError
from liquid.template import BoundTemplate
from liquid.undefined import FalsyStrictUndefined

from rules import filters
from rules.errors import InvalidRequest

#: Characters a template may have, and bytes it may write.
MAX_LENGTH = 100_000
MAX_OUTPUT_BYTES = 1_000_000

#: A variable's path: names and indexes; a list where the name itself is looked up (`payload[contact.id]`).
Segments = list[object]

#: Tags that would reach for another template.
_EXCLUDED_TAGS = ("include", "render")


class _Missing(FalsyStrictUndefined):
    """A variable that is not there: false in a condition, replaced by `default`, an error wherever it is written."""

    force_liquid_default = True


class _Environment(Environment):
    block_nesting_limit = 20
    context_depth_limit = 20
    loop_iteration_limit = 10_000
    local_namespace_limit = 1_000_000
    output_stream_limit = MAX_OUTPUT_BYTES
    logical_not_operator = True
    logical_parentheses = True


def _build_environment(escape: bool) -> Environment:
    environment = _Environment(undefined=_Missing, autoescape=escape)
    for tag in _EXCLUDED_TAGS:
        del environment.tags[tag]
    for name, filter_ in filters.build_filters(environment).items():
        environment.add_filter(name, filter_)
    return environment


#: Where plain texts and conditions are read.
ENVIRONMENT = _build_environment(escape=False)
_HTML_ENVIRONMENT = _build_environment(escape=True)


def render(source: str, facts: Mapping[str, object], *, html: bool = False) -> str:
    """The text with its gaps filled from `facts`; with `html`, what fills a gap is escaped.

    Raises `InvalidRequest` naming the unknown variable, or saying what else is wrong.
    """
    if not is_template(source):
        return source
    try:
        return _compile(source, html).render(facts)
    except UndefinedError as error:
        raise InvalidRequest(f"unknown variable: {format_error(error)}") from None
    except LiquidError as error:
        raise InvalidRequest(f"the template cannot be rendered: {format_error(error)}") from None
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        # A filter of the library met a value it was not made for: the template's fault, not the engine's.
        raise InvalidRequest(f"the template cannot be rendered: {error}") from None


def render_value(value: object, facts: Mapping[str, object]) -> object:
    """A JSON value with every text in it rendered; names of fields stay as they are."""
    if isinstance(value, str):
        return render(value, facts)
    if isinstance(value, Mapping):
        return {key: render_value(item, facts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [render_value(item, facts) for item in value]
    return value


def is_template(source: str) -> bool:
    """Whether the text has a gap or a tag at all."""
    return "{{" in source or "{%" in source


def check(source: str) -> str | None:
    """What is wrong with the template as a text, or None. Unknown filters are found here, variables are not."""
    if len(source) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters"
    if not is_template(source):
        return None
    try:
        template = _compile(source, False)
        unknown = sorted(set(template.analyze().filters) - set(ENVIRONMENT.filters))
    except LiquidError as error:
        return f"is not a Liquid template: {format_error(error)}"
    except RecursionError:
        return "is not a Liquid template: it is nested too deep"
    return f'unknown filter "{unknown[0]}"' if unknown else None


def list_variables(source: str) -> list[Segments]:
    """The variables from outside that a readable template names, each as its segments: `["contact", "tags"]`."""
    if not is_template(source):
        return []
    variables = _compile(source, False).analyze().globals
    return [list(variable.segments) for occurrences in variables.values() for variable in occurrences]


def extract_segments(path: object) -> Segments:
    """The segments of one of Liquid's path expressions."""
    return [extract_segments(part) if hasattr(part, "path") else part for part in getattr(path, "path", [])]


def format_error(error: LiquidError) -> str:
    """A Liquid error in one line, with the line of a longer template in which it stands."""
    message = str(error.message or "unreadable")
    position = error.context() if error.token is not None and error.token.start_index >= 0 else None
    return f"{message} (line {position[0]})" if position and position[0] > 1 else message


@lru_cache(maxsize=4096)
def _compile(source: str, html: bool) -> BoundTemplate:
    return (_HTML_ENVIRONMENT if html else ENVIRONMENT).from_string(source)
