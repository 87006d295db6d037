"""Reservations and counts of daily limits and of the frequency cap."""

from __future__ import annotations

import peewee
from peewee import Check

from models.tables.fields import NOW, DateField, IdField, IntegerField, Table, TimeField, index


class CapReservation(Table):
    """A place within a contact's frequency cap, reserved by a round of an execution that may message the contact."""

    execution_id = IdField()
    round = IntegerField()
    workspace_id = IdField()
    contact_id = IdField()
    taken_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "cap_reservations"
        primary_key = peewee.CompositeKey("execution_id", "round")
        indexes = (index("cap_reservations_contact on cap_reservations (contact_id)"),)


class LimitCount(Table):
    """How many rounds of an automation are reserved on a day: for a contact, and for all contacts (`ALL_CONTACTS`)."""

    workspace_id = IdField()
    automation_id = IdField()
    contact_id = IdField()
    day = DateField()
    count = IntegerField()

    class Meta:
        table_name = "limit_counts"
        primary_key = peewee.CompositeKey("automation_id", "contact_id", "day")
        constraints = (Check("(count >= 0)", "limit_counts_count_check"),)


class LimitReservation(Table):
    """A place within an automation's daily limits, reserved by a round of an execution."""

    execution_id = IdField()
    round = IntegerField()
    workspace_id = IdField()
    automation_id = IdField()
    contact_id = IdField()
    day = DateField()

    class Meta:
        table_name = "limit_reservations"
        primary_key = peewee.CompositeKey("execution_id", "round")
        indexes = (index("limit_reservations_day on limit_reservations (day)"),)
