"""Suppressed addresses over HTTP: listed, searched, added, lifted, imported and exported."""

from __future__ import annotations

from typing import Annotated, Any, cast

import flask
import pydantic
from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.contacts import Channel
from dashboard.api.contacts import Reason as LiftedFor
from dashboard.bodies import LARGE_BODY_LIMIT, Body, ShortText
from dashboard.csv_download import respond_with_csv
from dashboard.errors import invalid_request
from dashboard.parsing import parse_apart
from dashboard.resource import Resource
from dashboard.responses import fetch_page, format_time, parse_row_cursor, success, to_api_fields
from models import suppression
from models.reports import suppressions as report
from models.reports.suppressions import SuppressedAddressRow, SuppressionFilters
from models.tables.contacts import SuppressionReason
from rules.addresses import MAX_LENGTH, normalise_address
from rules.channels import ADDRESS_FIELDS
from rules.contact_fields import EMAIL_SCHEMA, PHONE_SCHEMA
from rules.problems import Problem
from rules.suppression_file import ERASED, REASONS, find_topic_problem
from rules.unsubscribe_links import MAX_TOPIC_LENGTH

suppressions = Resource("suppressions")

#: The columns of the file.
COLUMNS = ("channel", "address", "reason", "topic", "created_at")
#: Maximum problems in the response of an import.
MAX_LISTED_PROBLEMS = 200

Reason = Annotated[str, schemas.Choice(REASONS)]
Address = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
_TOPIC_PATTERN = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
Topic = Annotated[str, Field(min_length=1, max_length=MAX_TOPIC_LENGTH, pattern=_TOPIC_PATTERN)]
SUPPRESSION = schemas.record(
    id=schemas.ID, channel=schemas.TEXT, address=schemas.TEXT, reason=schemas.TEXT,
    topic=schemas.nullable(schemas.TEXT), createdAt=schemas.TIME,
)  # fmt: skip


class SuppressionFilterQuery(Body):
    """The filters: `q` is the beginning of an address, or the whole one where it is erased."""

    channel: Channel | None = None
    q: ShortText | None = None
    reason: Reason | None = None
    topic: ShortText | None = None

    def to_filters(self) -> SuppressionFilters:
        """The filters for the query of addresses."""
        return SuppressionFilters(self.channel, self.q, self.reason, self.topic)


class SuppressionPage(schemas.Page, SuppressionFilterQuery):
    """The filters and the page."""


#: The form of an address follows its channel.
_ADDRESS_FORMS: dict[str, dict[str, Any]] = {
    "email": EMAIL_SCHEMA,
    "phone": PHONE_SCHEMA,
}
_BY_CHANNEL: dict[str, Any] = {
    "anyOf": [
        {
            "properties": {
                "channel": {"const": channel},
                "address": {"type": "string", **_ADDRESS_FORMS.get(field, {"pattern": r"^[!-~]+$"})},
                **({} if channel == "email" else {"topic": {"type": "null"}}),
            }
        }
        for channel, field in ADDRESS_FIELDS.items()
    ]
}


class SuppressedAddressBody(Body):
    """The address to suppress, and why. With a topic, it gets no e-mail of that topic."""

    model_config = pydantic.ConfigDict(json_schema_extra=_BY_CHANNEL)

    channel: Channel
    address: Address
    reason: Reason = "operator"
    topic: Topic | None = None

    def to_entry(self) -> suppression.Entry:
        """The entry, with the normalized address. Raises `ProblemError` 422."""
        reason = cast(SuppressionReason, self.reason)
        return suppression.Entry(self.channel, read_address(self.channel, self.address, self.topic), reason, self.topic)


class LiftedAddressBody(Body):
    """The address whose suppressions are lifted, and why they are."""

    model_config = pydantic.ConfigDict(json_schema_extra=_BY_CHANNEL)

    channel: Channel
    address: Address
    reason: LiftedFor
    topic: Topic | None = None

    def lift(self, call: Caller) -> list[str]:
        """Lift every suppression of the address or, with a topic, of that topic; return their reasons."""
        address, because = read_address(self.channel, self.address, self.topic), self.reason.strip()
        if self.topic is not None:
            return suppression.lift_topic(call.workspace_id, address, self.topic, call.actor, because)
        return suppression.lift_address(call.workspace_id, self.channel, address, call.actor, because)


class SuppressionImport(Body):
    """A CSV file as text."""

    csv: Annotated[str, Field(min_length=1)]


@suppressions.api(
    "GET",
    "/api/suppressions",
    permission="read",
    query=SuppressionPage,
    response={"suppressions": schemas.array_of(SUPPRESSION), "nextCursor": schemas.nullable(schemas.TEXT)},
)
def list_suppressions(call: Caller, query: SuppressionPage) -> Any:
    """List suppressed addresses, newest first."""
    before, filters = parse_row_cursor(query.cursor), query.to_filters()
    rows, cursor = fetch_page(lambda limit: report.fetch_page(call.workspace_id, filters, limit, before), query.limit)
    return success(suppressions=[_to_api(row) for row in rows], nextCursor=cursor)


def _to_api(row: SuppressedAddressRow) -> dict[str, Any]:
    return to_api_fields({**row, "address": row["address"] or ERASED})


@suppressions.api(
    "POST",
    "/api/suppressions",
    permission="write",
    body=SuppressedAddressBody,
    response={"suppression": SUPPRESSION},
    status=201,
    statuses=(409,),
)
def add_suppression(call: Caller, body: SuppressedAddressBody) -> Any:
    """Suppress an address on one channel, and the contact that has it."""
    entry = body.to_entry()
    suppression.add_address(call.workspace_id, entry, call.actor)
    (row, *_) = report.fetch_page(
        call.workspace_id, SuppressionFilters(entry.channel, entry.address, entry.reason, entry.topic), 1, None
    )
    return success(201, suppression=_to_api(row))


@suppressions.api(
    "POST",
    "/api/suppressions/lift",
    permission="write",
    body=LiftedAddressBody,
    response={"lifted": schemas.array_of(schemas.TEXT)},
    statuses=(404, 409),
)
def lift_address(call: Caller, body: LiftedAddressBody) -> Any:
    """Lift every suppression of an address on one channel."""
    return success(lifted=body.lift(call))


@suppressions.api(
    "POST",
    "/api/suppressions/import",
    permission="write",
    body=SuppressionImport,
    response={
        "imported": schemas.COUNT,
        "repeated": schemas.COUNT,
        "rejected": schemas.array_of(schemas.record(line=schemas.COUNT, field=schemas.TEXT, message=schemas.TEXT)),
    },
    limit=LARGE_BODY_LIMIT,
)
def import_suppressions(call: Caller, body: SuppressionImport) -> Any:
    """Suppress the addresses of a CSV file."""
    return success(**import_file(call, body.csv))


@suppressions.api(
    "GET",
    "/api/suppressions/export",
    permission="read",
    query=SuppressionFilterQuery,
    response={},
    media_type="text/csv",
)
def export_suppressions(call: Caller, query: SuppressionFilterQuery) -> Any:
    """Download the suppressed addresses as CSV."""
    return download(call, query.to_filters())


def download(call: Caller, filters: SuppressionFilters) -> flask.Response:
    """The addresses that match as CSV, newest first, in pieces."""
    return respond_with_csv(
        "suppressions.csv",
        COLUMNS,
        lambda limit, before: report.fetch_page(call.workspace_id, filters, limit, before),
        _build_cells,
    )


def import_file(call: Caller, text: str) -> dict[str, Any]:
    """Suppress the valid rows of a file; return the counts and problems. Raises `ProblemError` 422."""
    result = parse_apart("suppressions", text.encode("utf-8", "surrogatepass"))
    entries, rejected = [suppression.Entry(*entry) for entry in result["entries"]], result["rejected"]
    imported = suppression.import_addresses(call.workspace_id, entries, call.actor)
    return {
        "imported": imported,
        "repeated": len(entries) - imported,
        "rejected": rejected[:MAX_LISTED_PROBLEMS],
    }


def read_address(channel: str, text: str, topic: str | None = None) -> str:
    """The normalized address. Raises `ProblemError` 422, also for a topic of another channel than e-mail."""
    problem = find_topic_problem(channel, topic)
    if problem:
        raise invalid_request([Problem("topic", problem)])
    try:
        return normalise_address(channel, text)
    except ValueError as error:
        raise invalid_request([Problem("address", str(error))]) from None


def _build_cells(row: SuppressedAddressRow) -> tuple[str, ...]:
    created_at = format_time(row["created_at"])
    return (row["channel"], row["address"] or ERASED, row["reason"], row["topic"] or "", created_at)
