"""Suppressed addresses over HTTP: listed, searched, added, lifted, imported and exported."""

from __future__ import annotations

from typing import Annotated, Any, cast

import flask
from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.contacts import Channel
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
from rules.problems import Problem
from rules.suppression_file import ERASED, REASONS

suppressions = Resource("suppressions")

#: Maximum problems in the response of an import.
MAX_LISTED_PROBLEMS = 200

Reason = Annotated[str, schemas.Choice(REASONS)]
Address = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
SUPPRESSION = schemas.record(
    id=schemas.ID, channel=schemas.TEXT, address=schemas.TEXT, reason=schemas.TEXT, createdAt=schemas.TIME
)


class SuppressionFilterQuery(Body):
    """The filters: `q` is the beginning of an address, or the whole one where it is erased."""

    channel: Channel | None = None
    q: ShortText | None = None
    reason: Reason | None = None

    def to_filters(self) -> SuppressionFilters:
        """The filters for the query of addresses."""
        return SuppressionFilters(self.channel, self.q, self.reason)


class SuppressionPage(schemas.Page, SuppressionFilterQuery):
    """The filters and the page."""


class SuppressedAddressBody(Body):
    """The address to suppress, and why."""

    channel: Channel
    address: Address
    reason: Reason = "operator"


class LiftedAddressBody(Body):
    """The address whose suppressions are lifted, and why they are."""

    channel: Channel
    address: Address
    reason: Annotated[str, Field(min_length=1, max_length=500)]


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
    address, reason = read_address(body.channel, body.address), cast(SuppressionReason, body.reason)
    suppression.add_address(call.workspace_id, (body.channel, address, reason), call.actor)
    filters = SuppressionFilters(body.channel, address, reason)
    (row, *_) = report.fetch_page(call.workspace_id, filters, 1, None)
    return success(201, suppression=_to_api(row))


@suppressions.api(
    "POST",
    "/api/suppressions/lift",
    permission="write",
    body=LiftedAddressBody,
    response={"lifted": schemas.array_of(schemas.TEXT)},
    statuses=(404,),
)
def lift_address(call: Caller, body: LiftedAddressBody) -> Any:
    """Lift every suppression of an address on one channel."""
    address = read_address(body.channel, body.address)
    return success(
        lifted=suppression.lift_address(call.workspace_id, body.channel, address, call.actor, body.reason.strip())
    )


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
        ("channel", "address", "reason", "created_at"),
        lambda limit, before: report.fetch_page(call.workspace_id, filters, limit, before),
        _build_cells,
    )


def import_file(call: Caller, text: str) -> dict[str, Any]:
    """Suppress the valid rows of a file; return the counts and problems. Raises `ProblemError` 422."""
    result = parse_apart("suppressions", text.encode("utf-8", "surrogatepass"))
    entries, rejected = [tuple(entry) for entry in result["entries"]], result["rejected"]
    imported = suppression.import_addresses(call.workspace_id, cast(list[suppression.Entry], entries), call.actor)
    return {
        "imported": imported,
        "repeated": len(entries) - imported,
        "rejected": rejected[:MAX_LISTED_PROBLEMS],
    }


def read_address(channel: str, text: str) -> str:
    """The normalized address. Raises `ProblemError` 422."""
    try:
        return normalise_address(channel, text)
    except ValueError as error:
        raise invalid_request([Problem("address", str(error))]) from None


def _build_cells(row: SuppressedAddressRow) -> tuple[str, ...]:
    return (row["channel"], row["address"] or ERASED, row["reason"], format_time(row["created_at"]))
