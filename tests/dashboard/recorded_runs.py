"""Records runs as the workers count them; the dashboard's role can only read runs."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg2

import settings
from models.ids import new_id
from tests.dashboard.producers import Producer


def record_runs(
    producer: Producer, automation_id: str, *at: datetime, kind: str = "main_dm", contact_id: Any = None
) -> None:
    """Record runs of the automation at these times."""
    with closing(psycopg2.connect(settings.load().database_url)) as owner, owner.cursor() as cursor:
        for moment in at:
            cursor.execute(
                "insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at) "
                "values (%s, %s, %s, %s, %s, %s, %s)",
                (new_id(), producer.workspace_id, automation_id, contact_id or new_id(), new_id(), kind, moment),
            )
        cursor.execute("select rebuild_run_counters()")
        owner.commit()
