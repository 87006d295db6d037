"""The page of templates: search and filters in the URL, the drawing of each flow, and the preview of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

import flask

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.automation_templates import (
    CHANNELS,
    GOALS,
    TEMPLATES,
    Template,
    count_by_channel,
    find_template,
    split_words,
)
from dashboard.bodies import Body, ShortText
from dashboard.errors import not_found
from dashboard.pages import layout
from dashboard.pages.editor_tree import build_heads, build_steps
from dashboard.pages.flow_drawing import describe, draw
from dashboard.pages.playbook_form import EMPTY as EMPTY_PLAYBOOK
from rules.serialization import write

PATH = "/automations/new"
NEW_PLAYBOOK = Template(
    "New playbook",
    "playbook",
    "Changes your own page for the visitors that you choose: texts, images, styles, banners.",
    EMPTY_PLAYBOOK,
    "sell",
)
#: A template by its slug; drawings depend on nothing else.
_FLOWS = {template.slug: draw(template.definition) for template in TEMPLATES}
_DESCRIPTIONS = {slug: describe(flow) for slug, flow in _FLOWS.items()}


class GalleryForm(Body):
    """The filters of the gallery, and the template of the preview."""

    q: ShortText | None = None
    channel: Annotated[str, schemas.Choice(tuple(CHANNELS))] | None = None
    goal: Annotated[str, schemas.Choice(tuple(GOALS))] | None = None
    preview: ShortText | None = None


def show(call: Caller) -> flask.Response:
    """The templates that pass the filters of the query, or the preview of one."""
    form, params = layout.parse_query(GalleryForm)
    if form.preview:
        return _show_preview(call, form.preview)
    words = split_words(form.q or "")
    channels = [(name, f"{label} {count}") for name, label, count in count_by_channel(form.channel)]
    matching = [row for row in TEMPLATES if row.matches(form.channel or "", form.goal or "", words)]
    return layout.render(
        "automation_gallery.html",
        call,
        templates=matching,
        flows=_FLOWS,
        descriptions=_DESCRIPTIONS,
        channels=CHANNELS,
        channel_chips=_build_chips(params, "channel", [("", f"All {len(TEMPLATES)}"), *channels]),
        goal_chips=_build_chips(params, "goal", list(GOALS.items())),
        filters=form,
        clear_path=PATH if params else "",
    )


def _build_chips(params: Mapping[str, str], name: str, options: list[tuple[str, str]]) -> list[tuple[str, str, bool]]:
    """The chips of a filter: text, URL, and whether it is the current one, whose URL leaves the filter out."""
    current = params.get(name, "")
    return [
        (text, _build_path({**params, name: "" if value == current else value}), value == current)
        for value, text in options
    ]


def _build_path(params: Mapping[str, str]) -> str:
    query = urlencode({name: text for name, text in params.items() if text})
    return f"{PATH}?{query}" if query else PATH


def _show_preview(call: Caller, slug: str) -> flask.Response:
    template = find_template(slug)
    if template is None:
        raise not_found("No template has this name.")
    return layout.render(
        "automation_preview.html",
        call,
        entry=template,
        flow=_FLOWS[template.slug],
        description=_DESCRIPTIONS[template.slug],
        nodes=(*build_heads(template.definition, (), ()), *build_steps(template.definition["steps"], (), ())),
        text=write(template.definition),
        channels=CHANNELS,
        goals=GOALS,
    )
