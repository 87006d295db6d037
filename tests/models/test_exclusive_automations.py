"""Automations that answer the same events before one alone answers go on doing so after the upgrade."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from models import migrations
from models.ids import new_id

FOLDER = migrations.FOLDER
MIGRATION = "0082_pre_exclusive_automations"


@pytest.fixture
def earlier(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of the version before the migration, with a workspace."""
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    for file in FOLDER.glob("*.sql"):
        if file.name < MIGRATION:
            shutil.copy(file, tmp_path)
    migrations.migrate(url)
    for file in FOLDER.glob(f"{MIGRATION}*"):
        shutil.copy(file, tmp_path)
    run(url, "insert into workspaces (id, slug, name) values (%s, 'alice', 'Alice')", WORKSPACE)
    return url


WORKSPACE = new_id()


def run(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the service, and return its rows."""
    with closing(psycopg2.connect(url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute("set local role beckon_service")
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def insert(url: str, type_: str, enabled: bool = True, **with_: Any) -> str:
    """Insert a published automation; return its id."""
    id, version_id = new_id(), new_id()
    definition = json.dumps({"trigger": {"type": type_, "with": with_}, "steps": []})
    run(
        url,
        "with made as (insert into automations (id, workspace_id, name, type, enabled, version_id, trigger_type) "
        "values (%s, %s, 'Reply', 'workflow', %s, %s, %s)) insert into workflow_versions "
        "(id, workspace_id, automation_id, version, definition, published_by) values (%s, %s, %s, 1, %s, 'alice')",
        id, WORKSPACE, enabled, version_id, type_, version_id, WORKSPACE, id, definition,
    )  # fmt: skip
    return id


def list_beside(url: str) -> set[str]:
    """The automations that start beside others."""
    return {id for (id,) in run(url, "select id::text from automations where not exclusive")}


def test_automations_that_overlap_start_beside_each_other(earlier: str) -> None:
    overlapping = {
        insert(earlier, "instagram.comment", posts=["a"], keywords=["Café"]),
        insert(earlier, "instagram.comment", keywords=["our CAFE"]),
        insert(earlier, "facebook.message", default=True),
        insert(earlier, "facebook.message", default=True, keywords=["x"]),
        insert(earlier, "instagram.story_reply"),
        insert(earlier, "instagram.story_reply", keywords=["y"]),
    }
    for type_, with_ in (
        ("instagram.comment", {"keywords": ["refund"]}),
        ("instagram.comment", {"posts": ["b"], "keywords": ["cost"]}),
        ("instagram.message", {"keywords": ["price"]}),
        ("instagram.message", {"default": True}),
        ("order.paid", {}),
        ("order.paid", {}),
    ):
        insert(earlier, type_, **with_)
    insert(earlier, "instagram.comment", enabled=False)

    migrations.migrate(earlier)

    assert list_beside(earlier) == overlapping
    assert migrations.revert(earlier) == [MIGRATION]
