"""Edits of a definition's text without saving it: only the lines of the edited values change."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import TEXT_PROBLEMS, WARNINGS, SourceText
from dashboard.bodies import Body, ShortText
from dashboard.definition_warnings import list_warnings
from dashboard.definitions import check_text, edit_text, read_text
from dashboard.errors import invalid_request, serialize_problems
from dashboard.resource import Resource
from dashboard.responses import success
from models import contact
from models.ids import is_id
from rules.definition_text import locate_problems
from rules.language import AutomationType
from rules.offered_variables import list_variables
from rules.problems import Problem
from rules.source_tree import Path, parse_path

definition_edits = Resource("definition-edits")

VARIABLE = schemas.record(name=schemas.TEXT, type=schemas.TEXT, sample=schemas.ANY, step=schemas.nullable(schemas.TEXT))
_AUTOMATIONS = "/api/workspaces/{workspace_id}/automations"
#: A path as problems name it, or its names and indexes: a name may have a dot.
EditPath = (
    Annotated[str, Field(max_length=1000)]
    | Annotated[list[Annotated[str, Field(max_length=1000)] | Annotated[int, Field(ge=0)]], Field(max_length=100)]
)


class DefinitionEdit(Body):
    """`set` replaces a value or adds a field, `insert` puts an item before an index, `move` takes an item to `to`,
    which counts without it."""

    op: Literal["set", "insert", "delete", "move"]
    path: EditPath
    value: Any = None
    to: EditPath | None = None


class EditRequest(Body):
    """A text and the edits to make in it, one after another."""

    source: SourceText
    edits: Annotated[list[DefinitionEdit], Field(min_length=1, max_length=100)]
    type: AutomationType | None = None
    automation_id: ShortText | None = Field(None, alias="automationId")


class VariableRequest(Body):
    """A text, and the path at which a variable is written; the values are those of a contact and a payload, else
    samples."""

    source: SourceText
    path: EditPath
    contact_id: ShortText | None = Field(None, alias="contactId")
    payload: dict[str, Any] | None = None


@definition_edits.api(
    "POST", f"{_AUTOMATIONS}/edit", permission="read", body=EditRequest,
    response={
        "source": schemas.TEXT, "definition": schemas.ANY, "valid": schemas.BOOL, "errors": TEXT_PROBLEMS,
        "warnings": WARNINGS,
    },
)  # fmt: skip
def edit_definition(call: Caller, body: EditRequest) -> Any:
    """Edit the text of a definition without saving it. Only the lines of the edited values change."""
    edits = [
        [edit.op, _read_path(edit.path, f"edits[{index}].path"), edit.value,
         _read_path(edit.to, f"edits[{index}].to") if edit.to is not None else ()]
        for index, edit in enumerate(body.edits)
    ]  # fmt: skip
    text = edit_text(body.source, edits)
    checked = check_text(text, body.type)
    warnings = [] if checked.problems else list_warnings(call.workspace_id, checked.document, body.automation_id)
    return success(
        source=text,
        definition=checked.document,
        valid=not checked.problems,
        errors=serialize_problems(checked.problems),
        warnings=serialize_problems(locate_problems(text, warnings)),
    )


@definition_edits.api(
    "POST", f"{_AUTOMATIONS}/variables", permission="read", body=VariableRequest,
    response={"variables": schemas.array_of(VARIABLE)},
)  # fmt: skip
def offer_variables(call: Caller, body: VariableRequest) -> Any:
    """List the variables that a template may use at a place of a definition, with sample values."""
    row = None
    if body.contact_id is not None:
        row = contact.get(call.workspace_id, body.contact_id) if is_id(body.contact_id) else None
        if row is None:
            raise invalid_request([Problem("contactId", "is the id of no contact of this workspace")])
    variables = list_variables(read_text(body.source), _read_path(body.path, "path"), row, body.payload)
    return success(variables=[asdict(variable) for variable in variables])


def _read_path(path: str | list[str | int], name: str) -> Path:
    if not isinstance(path, str):
        return tuple(path)
    try:
        return parse_path(path)
    except ValueError as error:
        raise invalid_request([Problem(name, str(error))]) from None
