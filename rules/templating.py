"""Renders Liquid templates, compiled once and rendered strictly.

A missing variable fails the step with its name, unless the template uses `default`; a null variable renders as empty.
An `if` on a missing variable is false. Templates cannot read a file, another template or a clock, and their cost is
bounded (`rules/template_budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from liquid import Environment
from liquid.exceptions import LiquidError, UndefinedError
from liquid.template import BoundTemplate
from liquid.undefined import FalsyStrictUndefined

from rules import filters
from rules.errors import InvalidRequest, ProviderTimeout
from rules.json_text import load_json
from rules.template_budget import BudgetedTemplate, RenderingTimeout, adapt_expressions, find_excess
from rules.template_outputs import OUTPUT_TAGS, Form, is_json_template, is_single_output
from rules.template_source import quote_keywords

#: Maximum characters of a template.
MAX_LENGTH = 100_000

#: A variable's path: names and indexes; a list if the name is itself a variable (`payload[contact.id]`).
Segments = list[object]

#: Tags that load another template.
_EXCLUDED_TAGS = ("include", "render")


class _Missing(FalsyStrictUndefined):
    """A missing variable: false in a condition, replaced by `default`, an error on output."""

    force_liquid_default = True


class _Environment(Environment):
    template_class = BudgetedTemplate
    block_nesting_limit = 20
    context_depth_limit = 20
    logical_not_operator = True
    logical_parentheses = True


def _build_environment(form: Form) -> Environment:
    environment = _Environment(undefined=_Missing, autoescape=form == "html")
    for output in OUTPUT_TAGS.get(form, ()):
        environment.add_tag(output)
    for tag in _EXCLUDED_TAGS:
        del environment.tags[tag]
    for name, filter_ in filters.FILTERS.items():
        environment.add_filter(name, filter_)
    return environment


_FORMS: tuple[Form, ...] = ("text", "html", "slack", "json")
_ENVIRONMENTS = {form: _build_environment(form) for form in _FORMS}
#: The environment of plain texts and conditions.
ENVIRONMENT = _ENVIRONMENTS["text"]


def render(source: str, facts: Mapping[str, object], *, form: Form = "text") -> str:
    """Render the template with `facts`; inserted values are escaped for the form of the text.

    Raises `InvalidRequest` with the unknown variable or the other error, and `ProviderTimeout` where it takes too much
    CPU time, which may be due to a busy machine.
    """
    if not is_template(source):
        return source
    try:
        return _compile(source, form).render(facts)
    except UndefinedError as error:
        raise InvalidRequest(f"unknown variable: {format_error(error)}") from None
    except LiquidError as error:
        raise InvalidRequest(f"the template cannot be rendered: {format_error(error)}") from None
    except RenderingTimeout as error:
        raise ProviderTimeout(f"The template {error}.") from None
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        # A filter of the library got a value that it does not support: an error of the template, not of the engine.
        raise InvalidRequest(f"the template cannot be rendered: {error}") from None


def render_value(value: object, facts: Mapping[str, object]) -> object:
    """Render every string within a JSON value; field names are unchanged."""
    if isinstance(value, str):
        return render(value, facts)
    return _map_items(value, lambda item: render_value(item, facts))


def _map_items(value: object, change: Callable[[object], object]) -> object:
    """Return a copy of an object or a list with its values changed; any other value unchanged."""
    if isinstance(value, Mapping):
        return {key: change(item) for key, item in value.items()}
    return [change(item) for item in value] if isinstance(value, (list, tuple)) else value


def render_json(source: str, facts: Mapping[str, object]) -> str:
    """Render the text of a request's body: if it is JSON, inserted values cannot break it, and keep their types."""
    return render(source, facts, form="json" if is_json_template(source) else "text")


def render_json_value(value: object, facts: Mapping[str, object]) -> object:
    """Render every string within a JSON value; a string that is one output becomes the output's value."""
    if isinstance(value, str):
        return load_json(render(value, facts, form="json")) if is_single_output(value) else render(value, facts)
    return _map_items(value, lambda item: render_json_value(item, facts))


def is_template(source: str) -> bool:
    """Whether the text contains an output or a tag."""
    return "{{" in source or "{%" in source


def check(source: str) -> str | None:
    """Return what is wrong with the template, or None. Checks syntax and filters, not variables."""
    if len(source) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters"
    if not is_template(source):
        return None
    try:
        template = _compile(source, "text")
        unknown = sorted(set(template.analyze().filters) - set(ENVIRONMENT.filters))
        excess = find_excess(template)
    except LiquidError as error:
        return f"is not a Liquid template: {format_error(error)}"
    except RecursionError:
        return "is not a Liquid template: it is nested too deeply"
    return f'unknown filter "{unknown[0]}"' if unknown else excess


def list_variables(source: str) -> list[Segments]:
    """Return the global variables of a valid template, each as its segments: `["contact", "tags"]`."""
    if not is_template(source):
        return []
    variables = _compile(source, "text").analyze().globals
    return [list(variable.segments) for occurrences in variables.values() for variable in occurrences]


def compile_template(source: str) -> BoundTemplate:
    """Return the compiled template of a valid source."""
    return _compile(source, "text")


def extract_segments(path: object) -> Segments:
    """Return the segments of a Liquid path expression."""
    return [extract_segments(part) if hasattr(part, "path") else part for part in getattr(path, "path", [])]


def format_error(error: LiquidError) -> str:
    """Format a Liquid error in one line, with its line number in a template of several lines."""
    message = str(error.message or "invalid")
    position = error.context() if error.token is not None and error.token.start_index >= 0 else None
    return f"{message} (line {position[0]})" if position and position[0] > 1 else message


@lru_cache(maxsize=4096)
def _compile(source: str, form: Form) -> BoundTemplate:
    template = _ENVIRONMENTS[form].from_string(quote_keywords(source))
    adapt_expressions(template)
    return template
