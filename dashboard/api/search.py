"""Search over everything of the workspace that has a name, an address or an id."""

from __future__ import annotations

from typing import Annotated, Any

from dashboard import search_results
from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body
from dashboard.resource import Resource
from dashboard.responses import success
from dashboard.search_results import ResultGroup
from rules.bodies import OptionalText

search = Resource("search")

_RESULT = schemas.record(id=schemas.TEXT, title=schemas.TEXT, detail=schemas.TEXT, path=schemas.TEXT)
_GROUP = schemas.record(
    kind=schemas.TEXT | {"enum": ["execution", "contact", "automation", "message", "error"]},
    label=schemas.TEXT,
    icon=schemas.TEXT,
    results=schemas.array_of(_RESULT),
    total=schemas.nullable(schemas.COUNT),
    path=schemas.nullable(schemas.TEXT),
)


class SearchQuery(Body):
    """Words, an address or an id, and the most results of each kind."""

    q: OptionalText = ""
    limit: Annotated[int, schemas.QueryNumber(1, search_results.MAX_COUNT)] = 5


@search.api("GET", "/api/search", permission="read", query=SearchQuery, response={"groups": schemas.array_of(_GROUP)})
def find(call: Caller, query: SearchQuery) -> Any:
    """Search contacts, automations, executions, messages and errors."""
    groups = search_results.find_groups(call.workspace_id, query.q, query.limit)
    return success(groups=[serialize(group) for group in groups])


def serialize(group: ResultGroup) -> dict[str, Any]:
    """A group as JSON; `total` is null if there are more matches than are counted."""
    return {**vars(group), "results": [vars(result) for result in group.results]}
