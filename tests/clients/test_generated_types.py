"""The clients' types and limits are those of the OpenAPI document."""

from __future__ import annotations

import pytest

from beckon_client import schema
from beckon_client.configuration import Configuration, Options
from clients.generate import FILES, ROOT
from dashboard.api import list_operations, openapi


@pytest.mark.parametrize("file", FILES)
def test_a_generated_file_is_what_the_document_says(file: str) -> None:
    document = openapi.build_document(list_operations(), "http://localhost:8080")
    stale = "run make clients, and commit what it writes"
    assert FILES[file](document) == (ROOT / file).read_text(encoding="utf-8"), stale


def test_the_arguments_of_a_trigger_are_the_fields_of_its_body() -> None:
    fields = {
        "".join(word.capitalize() for word in name.split("_")) for name in schema.TriggerArguments.__annotations__
    }
    assert fields == {name[0].upper() + name[1:] for name in schema.Trigger.__annotations__} - {"Type"}


def test_the_options_of_a_client_are_the_fields_of_its_configuration() -> None:
    assert Options.__annotations__.keys() == Configuration.__annotations__.keys() - {"url", "api_key"}
