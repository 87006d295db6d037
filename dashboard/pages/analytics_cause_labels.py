"""What a chart of analytics writes above its bars: failures that pile up, and versions that were published. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from dashboard.pages import labels
from dashboard.pages.analytics_charts import Cause
from dashboard.pages.analytics_period import Bucket
from dashboard.pages.counts import build_list_path
from models.execution_filters import ExecutionFilters
from models.reports.analytics_causes import FailureCause, VersionCause
from models.reports.analytics_executions import Point

#: Buckets that are marked at most, and the share of a bucket's executions from which failures are a cause.
MAX_FAILURES, MAX_VERSIONS = 3, 4
MIN_SHARE = 0.02
_MAX_NAME = 28


def build_causes(
    buckets: Sequence[Bucket],
    points: Sequence[Point],
    failures: Sequence[FailureCause],
    versions: Sequence[VersionCause],
    automation_id: str | None,
) -> list[Cause]:
    """The causes, oldest first."""
    places = {bucket.since: index for index, bucket in enumerate(buckets)}
    causes = [
        _build_failure(places[row["at"]], buckets, row, automation_id)
        for row in failures
        if row["at"] in places and row["count"] >= MIN_SHARE * points[places[row["at"]]]["executions"]
    ][:MAX_FAILURES]
    causes += _build_versions(buckets, versions, is_one=automation_id is not None)
    return sorted(causes, key=lambda cause: cause.index)


def _build_failure(index: int, buckets: Sequence[Bucket], row: FailureCause, automation_id: str | None) -> Cause:
    bucket = buckets[index]
    name = labels.ERRORS.get(row["error_class"], row["error_class"])
    if row["provider"]:
        code = row["error_code"] or name.lower()
        name = f"{labels.PROVIDERS.get(row['provider'], row['provider'])} {code}"
    filters = ExecutionFilters(
        automation_id=automation_id, status="failed", error_class=row["error_class"], provider=row["provider"],
        code=row["error_code"], since=bucket.since, until=bucket.until, test=False,
    )  # fmt: skip
    return Cause(index, "bad", f"{name}, {row['count']:,} failed", bucket.label, build_list_path(filters))


def _build_versions(buckets: Sequence[Bucket], versions: Sequence[VersionCause], *, is_one: bool) -> list[Cause]:
    placed = [(_find_bucket(buckets, row), row) for row in versions]
    groups = [
        (index, [row for _, row in rows])
        for index, rows in groupby((item for item in placed if item[0] is not None), key=lambda item: item[0])
    ]
    return [
        Cause(index, "good", _describe_versions(rows, is_one=is_one), buckets[index].label, _find_page(rows))
        for index, rows in groups[-MAX_VERSIONS:]
        if index is not None
    ]


def _find_bucket(buckets: Sequence[Bucket], row: VersionCause) -> int | None:
    return next((index for index, bucket in enumerate(buckets) if bucket.since <= row["at"] < bucket.until), None)


def _describe_versions(rows: Sequence[VersionCause], *, is_one: bool) -> str:
    if len(rows) > 1:
        return f"{len(rows)} versions published"
    if is_one:
        return f"version {rows[0]['version']} published"
    name = rows[0]["automation_name"]
    short = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1].rstrip()}…"
    return f"{short}, version {rows[0]['version']}"


def _find_page(rows: Sequence[VersionCause]) -> str:
    ids = {row["automation_id"] for row in rows}
    return f"/automations/{ids.pop()}" if len(ids) == 1 else "/automations"
