"""The filters of Analytics as the query string writes them, for the page and the API."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dashboard.api import schemas
from dashboard.bodies import Body
from dashboard.errors import invalid_request, not_found
from models.ids import is_id
from models.reports.analytics_filters import MAX_DAYS, AnalyticsFilters, Kind, NotCountedTogether
from rules.channels import CHANNELS
from rules.problems import Problem
from rules.tallies import OUTCOMES

#: A value of a dimension; empty for executions without one.
Value = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class AnalyticsQuery(Body):
    """The period, up to 90 days, and the filters. `compare=previous` compares with the period of the same length before
    it, `compareFrom` and `compareTo` with the one that they name."""

    since: schemas.Moment | None = Field(None, alias="from")
    until: schemas.Moment | None = Field(None, alias="to")
    kind: Kind = "everything"
    automation_id: Annotated[str, Field(max_length=100)] | None = Field(None, alias="automationId")
    channel: Annotated[str, schemas.Choice(tuple(CHANNELS))] | None = None
    device: Value | None = None
    page: Value | None = None
    trigger: Value | None = None
    status: Annotated[str, schemas.Choice(OUTCOMES)] | None = None
    compare: Literal["previous"] | None = None
    compare_since: schemas.Moment | None = Field(None, alias="compareFrom")
    compare_until: schemas.Moment | None = Field(None, alias="compareTo")

    def build_filters(self, zone: str, now: datetime) -> AnalyticsFilters:
        """Return the filters of a workspace in this zone; the period is the last 90 days where none is named.

        Raises `ProblemError` 422 for a period that is empty or too long and for two of device, page and trigger, 404
        for an automation's id that is none.
        """
        if self.automation_id is not None and not is_id(self.automation_id):
            raise not_found("There is no automation with that id.")
        until = schemas.parse_moment(self.until) if self.until else now
        since = schemas.parse_moment(self.since) if self.since else until - timedelta(days=MAX_DAYS)
        _check_period(since, until, "from")
        filters = AnalyticsFilters(
            since.astimezone(UTC), until.astimezone(UTC), zone, self.kind, self.automation_id, self.channel,
            self.device, self.page, self.trigger, self.status,
        )  # fmt: skip
        try:
            filters.get_value()
        except NotCountedTogether as error:
            raise invalid_request([Problem(error.args[0].split()[0], str(error))]) from None
        return filters

    def build_compared(self, filters: AnalyticsFilters) -> AnalyticsFilters | None:
        """Return the filters of the compared period, or None. Raises `ProblemError` 422."""
        if not self.compare_since and not self.compare_until:
            return filters.build_previous() if self.compare else None
        if not self.compare_since or not self.compare_until or self.compare:
            raise invalid_request([Problem("compareFrom", "needs compareTo, and excludes compare")])
        since, until = schemas.parse_moment(self.compare_since), schemas.parse_moment(self.compare_until)
        _check_period(since, until, "compareFrom")
        return replace(filters, since=since.astimezone(UTC), until=until.astimezone(UTC))


def _check_period(since: datetime, until: datetime, name: str) -> None:
    if since >= until:
        raise invalid_request([Problem(name, "must be before the end of the period")])
    # The hour that the end of summer time repeats.
    if until - since > timedelta(days=MAX_DAYS, hours=1):
        raise invalid_request([Problem(name, f"must be at most {MAX_DAYS} days before the end of the period")])
