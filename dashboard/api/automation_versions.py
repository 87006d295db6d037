"""The versions of an automation: one with its text, two of them compared, and a way back as a draft."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import require_automation
from dashboard.api.drafts import ANSWER, Revision, build_conflict, get_draft_source, serialize_draft
from dashboard.bodies import Body
from dashboard.definitions import read_text
from dashboard.errors import not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import automation
from models.errors import Conflict
from models.reports import automations as report
from models.reports.automations import AutomationDetail, PublishedVersion
from rules.bodies import Pattern
from rules.definition_changes import list_changes
from rules.definition_text import get_source
from rules.line_diff import compare_lines

automation_versions = Resource("automation-versions")

_VERSION = "/api/workspaces/{workspace_id}/automations/{automation_id}/versions/{version}"
#: The largest number of a version: that of an integer column.
_MAX_VERSION = 2**31 - 1
DRAFT = "draft"
VersionName = Annotated[str, Pattern("draft|[1-9][0-9]{0,9}", "must be the number of a version, or draft")]


class Restoration(Body):
    """The revision of the draft that the version replaces; not needed where there is no draft."""

    revision: Revision | None = None


class DiffQuery(Body):
    """Two versions by their numbers, or `draft`. Without `from`: the published version; without `to`: the draft, or
    else the published version."""

    before: VersionName | None = Field(None, alias="from")
    after: VersionName | None = Field(None, alias="to")


@dataclass(frozen=True)
class ComparedText:
    """One side of a comparison."""

    name: str
    source: str
    definition: dict[str, Any]


@automation_versions.api(
    "GET", _VERSION, permission="read",
    response={
        "version": schemas.record(
            version=schemas.COUNT, publishedBy=schemas.TEXT, publishedAt=schemas.TIME,
            note=schemas.nullable(schemas.TEXT), definition=schemas.ANY, source=schemas.TEXT,
        )
    },
)  # fmt: skip
def show_version(call: Caller, automation_id: str, version: str) -> Any:
    """Show one version of an automation with its text."""
    require_automation(call.workspace_id, automation_id)
    published = require_version(call.workspace_id, automation_id, version)
    fields = {**published, "source": get_source(published["source"], published["definition"])}
    return success(version=to_api_fields(fields))


@automation_versions.api(
    "POST", f"{_VERSION}/restore", permission="write", body=Restoration, body_required=False, statuses=(409,),
    response=ANSWER,
)  # fmt: skip
def restore_version(call: Caller, automation_id: str, version: str, body: Restoration) -> Any:
    """Make a version of an automation its draft. It publishes nothing."""
    row = require_automation(call.workspace_id, automation_id)
    published = require_version(call.workspace_id, automation_id, version)
    try:
        if row["has_draft"] and body.revision is None:
            raise Conflict("There is a draft. Name its revision to replace it.", "revision")
        automation.save_draft_source(
            call.workspace_id, automation_id, get_source(published["source"], published["definition"]) or "",
            published["definition"], call.actor, base_version=row["version"],
            revision=row["draft_revision"] if body.revision is None else body.revision,
        )  # fmt: skip
    except Conflict as conflict:
        raise build_conflict(call, automation_id, conflict) from None
    return success(**serialize_draft(require_automation(call.workspace_id, automation_id)))


@automation_versions.api(
    "GET",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/diff",
    permission="read",
    query=DiffQuery,
    response={
        "from": schemas.TEXT,
        "to": schemas.TEXT,
        "changes": schemas.array_of(
            schemas.record(path=schemas.TEXT, sentence=schemas.TEXT, step=schemas.nullable(schemas.TEXT))
        ),
        "lines": schemas.array_of(
            schemas.record(
                kind=schemas.TEXT, text=schemas.TEXT, before=schemas.nullable(schemas.COUNT),
                after=schemas.nullable(schemas.COUNT),
            )
        ),
    },
)  # fmt: skip
def compare_versions(call: Caller, query: DiffQuery, automation_id: str) -> Any:
    """Compare two versions of an automation, or one with the draft, in sentences and by lines."""
    row = require_automation(call.workspace_id, automation_id)
    default = DRAFT if row["has_draft"] else str(row["version"])
    before, after = (
        find_text(call.workspace_id, row, name)
        for name in (query.before or str(row["version"]), query.after or default)
    )
    changes = list_changes(before.definition, after.definition)
    lines = compare_lines(before.source, after.source)
    return success(**{
        "from": before.name, "to": after.name, "changes": [asdict(change) for change in changes],
        "lines": [asdict(line) for line in lines],
    })  # fmt: skip


def find_text(workspace_id: str, row: AutomationDetail, name: str) -> ComparedText:
    """The version of this number, or the draft. Raises `ProblemError` 404; 422 for a draft that cannot be parsed."""
    if name == DRAFT:
        source = get_draft_source(row)
        if source is None:
            raise not_found("This automation has no draft.")
        document = row["draft"] if row["draft"] is not None else read_text(source)
        return ComparedText(DRAFT, source, document if isinstance(document, dict) else {})
    published = require_version(workspace_id, row["id"], name)
    source = get_source(published["source"], published["definition"]) or ""
    return ComparedText(str(published["version"]), source, published["definition"])


def require_version(workspace_id: str, automation_id: str, version: str) -> PublishedVersion:
    """A published version by its number in a path. Raises `ProblemError` 404."""
    is_number = version.isascii() and version.isdigit() and int(version[:12]) <= _MAX_VERSION
    published = report.find_published(workspace_id, automation_id, int(version)) if is_number else None
    if published is None:
        raise not_found("This automation has no such version.")
    return published
