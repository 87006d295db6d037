"""The names of the objects of audit entries, for pages: of each kind with one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypedDict

from peewee import fn

from models import tables
from models.database import acting_as
from models.expressions import is_any
from models.ids import is_id
from models.queries import fetch

#: An object by its kind and id, as an entry has them.
ObjectKey = tuple[str, str]


class _NameRow(TypedDict):
    id: str
    name: str


def _build_name_queries() -> dict[str, tuple[Any, Any]]:
    """The columns of the id and of the name, by the kind of the object."""
    contact, message = tables.Contact, tables.Message
    full_name = fn.nullif(fn.trim(fn.concat_ws(" ", contact.first_name, contact.last_name)), "")
    return {
        "automation": (tables.Automation.id, tables.Automation.name),
        "contact": (contact.id, fn.coalesce(full_name, contact.email, contact.phone, contact.external_id, "")),
        "key": (tables.ApiKey.id, tables.ApiKey.name),
        "site_key": (tables.SiteKey.id, tables.SiteKey.name),
        # A message is shown on the page of its execution.
        "message": (message.id, message.execution_id.cast("text")),
    }


def fetch_names(workspace_id: str, objects: Iterable[ObjectKey]) -> dict[ObjectKey, str]:
    """Return the names of those objects that still have one; of a message the id of its execution."""
    ids = defaultdict(set)
    for kind, object_id in objects:
        if is_id(object_id):
            ids[kind].add(object_id)
    names: dict[ObjectKey, str] = {}
    with acting_as(workspace_id):
        for kind, (id_column, name_column) in _build_name_queries().items():
            if kind in ids:
                rows = _fetch(workspace_id, id_column, name_column, ids[kind])
                names |= {(kind, row["id"]): row["name"] for row in rows}
    return names


def _fetch(workspace_id: str, id_column: Any, name_column: Any, ids: set[str]) -> list[_NameRow]:
    model = id_column.model
    query = model.select(id_column, name_column.alias("name"))
    return fetch(_NameRow, query.where(is_any(id_column, sorted(ids)), model.workspace_id == workspace_id))
