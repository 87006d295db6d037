"""The search over everything, as a page; the command palette asks the API for the same results."""

from __future__ import annotations

from typing import Any

import flask

from dashboard import search_results
from dashboard.bodies import Body
from dashboard.pages import layout
from rules.bodies import OptionalText

search_pages = flask.Blueprint("search-pages", __name__)

#: Results of each kind on the page.
MAX_RESULTS = 20


class SearchForm(Body):
    """What is searched for."""

    q: OptionalText = ""


@search_pages.get("/search")
def show() -> Any:
    """The results, grouped by kind."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(SearchForm)
    groups = search_results.find_groups(call.workspace_id, form.q, MAX_RESULTS)
    template = "search_results.html" if layout.is_fragment() else "search.html"
    return layout.render(template, call, q=form.q, groups=groups, max_count=search_results.MAX_COUNT)
