"""The import of contacts from a CSV file: a preview, then the valid rows; invalid rows are reported by line and field.

`rules/contact_file.py` reads the file. Rows are matched like the contact of a trigger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.contacts import contacts
from dashboard.bodies import LARGE_BODY_LIMIT, Body
from dashboard.errors import ProblemError
from dashboard.parsing import parse_apart
from dashboard.responses import success
from models import audit, contact, contact_matching
from models.contact_matching import ContactRejection
from models.database import acting_as
from rules.contact_columns import MAX_COLUMNS, Target
from rules.contact_file import ContactFile
from rules.parsers import read_contact_file
from rules.problems import Problem, join_path

# The route is added to `contacts`; import `contacts` from this module to register it.
__all__ = [
    "MAX_LISTED_PROBLEMS",
    "PREVIEW_ROWS",
    "ImportCounts",
    "contacts",
    "parse_csv",
    "write_contacts",
]

#: Maximum rows in a preview, and maximum problems in a response.
PREVIEW_ROWS, MAX_LISTED_PROBLEMS = 20, 200
#: PostgreSQL gets statistics of the contacts after an import that created so many.
MIN_ANALYZED = 500


#: A problem of a row; `merge` where it names two contacts.
_REJECTED = schemas.record(
    line=schemas.COUNT, field=schemas.TEXT, message=schemas.TEXT,
    merge=schemas.record(contactId=schemas.ID, into=schemas.ID),
)  # fmt: skip


class Import(Body):
    """A CSV file as text. `columns` has what columns become, by their names: a field, `attribute` or `ignore`. Without
    `confirm` nothing is written and the response is a preview."""

    csv: Annotated[str, Field(min_length=1)]
    columns: dict[str, Target] = Field(default_factory=dict, max_length=MAX_COLUMNS)
    confirm: bool = False


@dataclass
class ImportCounts:
    """What an import did, in people: `repeated` are further rows of people whom an earlier row named."""

    created: int = 0
    updated: int = 0
    repeated: int = 0

    @property
    def people(self) -> int:
        """The people in the file."""
        return self.created + self.updated


@contacts.api(
    "POST",
    "/api/contacts/import",
    permission="write",
    body=Import,
    response={
        "imported": schemas.COUNT,
        "created": schemas.COUNT,
        "updated": schemas.COUNT,
        "repeated": schemas.COUNT,
        "valid": schemas.COUNT,
        "attributes": schemas.array_of(schemas.TEXT),
        "preview": schemas.array_of({"type": "object"}),
        "rejected": schemas.array_of(_REJECTED),
    },
    limit=LARGE_BODY_LIMIT,
)
def import_contacts(call: Caller, body: Import) -> Any:
    """Import contacts from CSV. Without `confirm` it only returns a preview."""
    contact_file = parse_csv(body.csv, body.columns)
    _check_columns(contact_file, body.columns)
    valid = contact_file.valid
    counts = write_contacts(call, contact_file) if body.confirm else ImportCounts(repeated=contact_file.repeated)
    return success(
        imported=counts.people,
        created=counts.created,
        updated=counts.updated,
        repeated=counts.repeated,
        valid=valid,
        attributes=contact_file.attributes,
        preview=[] if body.confirm else [row.fields for row in contact_file.list_first(PREVIEW_ROWS)],
        rejected=contact_file.list_rejected()[:MAX_LISTED_PROBLEMS],
    )


def _check_columns(contact_file: ContactFile, choices: Mapping[str, str]) -> None:
    unknown = [name for name in choices if name not in contact_file.header]
    problems = [Problem(join_path("columns", name), "is not a column of the file") for name in unknown]
    problems += [Problem("csv", message) for message in contact_file.header_problems]
    if problems:
        raise ProblemError(422, problems=problems)


def parse_csv(text: str, choices: Mapping[str, str]) -> ContactFile:
    """The validated rows of a file, or the problems of its first line. Raises `ProblemError` 422 where it is not CSV.

    Fifty thousand rows take seconds, so another process reads them.
    """
    raw = text.encode("utf-8", "surrogatepass")
    return read_contact_file(parse_apart("contacts", raw, choices=dict(choices)))


def write_contacts(call: Caller, contact_file: ContactFile) -> ImportCounts:
    """Write the valid rows and count the people; rows that the database rejects are added to the invalid ones."""
    created: set[str] = set()
    imported: list[str] = []
    for rows in contact_file.iter_batches():
        with acting_as(call.workspace_id):
            results = contact_matching.match_or_create(call.workspace_id, [(None, row.fields) for row in rows])
            ids = [result["id"] for result in results if result and not isinstance(result, ContactRejection)]
            created |= contact.find_newly_created(ids)
        imported += ids
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, ContactRejection):
                contact_file.reject(
                    row, result.path.removeprefix("contact."), result.message_with_names or result.message,
                    result.contact_ids,
                )  # fmt: skip
    if len(created) >= MIN_ANALYZED:
        contact.analyze()
    people = set(imported)
    counts = ImportCounts(len(created), len(people - created), len(imported) - len(people))
    detail = {**vars(counts), "rejected": len({row["line"] for row in contact_file.bad})}
    audit.record(call.workspace_id, call.actor, "contacts.imported", "contact", "csv", detail)
    return counts
