"""Periodic jobs, the leading scheduler, deployments, and the applied migrations."""

from __future__ import annotations

from peewee import Check

from models.tables.fields import (
    NOW,
    BooleanField,
    IdField,
    IntegerField,
    JsonField,
    Table,
    TextField,
    TimeField,
    index,
)


class PeriodicJob(Table):
    """When a periodic job last succeeded and last failed."""

    name = TextField(primary_key=True)
    last_succeeded_at = TimeField(null=True)
    last_failed_at = TimeField(null=True)
    last_error = TextField(null=True)
    counts = JsonField(default_sql="'{}'")

    class Meta:
        table_name = "periodic_jobs"


class Leadership(Table):
    """Which scheduler leads; one row, with a token that each takeover replaces."""

    #: The only value, so that there is one row.
    single = BooleanField(column_name="one", primary_key=True, default_sql="true")
    host = TextField()
    pid = IntegerField()
    since = TimeField()
    seen_at = TimeField()
    token = IdField(default_sql="gen_random_uuid()")

    class Meta:
        table_name = "leadership"
        constraints = (Check("one", "leadership_one_check"),)


class Deployment(Table):
    """A start of a scheduler with a version of Beckon; schedulers that start together are one."""

    id = IdField(primary_key=True)
    version = TextField()
    started_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "deployments"
        indexes = (index("deployments_started on deployments (started_at desc)"),)


class SchemaHash(Table):
    """The hash of an applied migration, by which an edited file is noticed."""

    name = TextField(primary_key=True)
    sha256 = TextField()

    class Meta:
        table_name = "schema_hashes"
