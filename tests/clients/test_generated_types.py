"""The clients' types and limits are those of the OpenAPI document."""

from __future__ import annotations

import pytest

from beckon_client import schema
from beckon_client.bodies import _to_camel_case
from beckon_client.configuration import Configuration, Options
from clients.generate import FILES, ROOT
from dashboard.api import list_operations, openapi


@pytest.mark.parametrize("file", FILES)
def test_a_generated_file_is_what_the_document_says(file: str) -> None:
    document = openapi.build_document(list_operations(), "http://localhost:8080")
    stale = "run make clients, and commit what it writes"
    assert FILES[file](document) == (ROOT / file).read_text(encoding="utf-8"), stale


@pytest.mark.parametrize(
    ("arguments", "body", "left_out"),
    [
        (schema.TriggerArguments, schema.Trigger, "type"),
        (schema.ExecutionArguments, schema.ReportedExecution, "workflowId"),
    ],
)
def test_the_keyword_arguments_are_the_fields_of_the_body(arguments: type, body: type, left_out: str) -> None:
    fields = {_to_camel_case(name) for name in arguments.__annotations__}
    assert fields == body.__annotations__.keys() - {left_out}


def test_the_options_of_a_client_are_the_fields_of_its_configuration() -> None:
    assert Options.__annotations__.keys() == Configuration.__annotations__.keys() - {"url", "api_key"}
