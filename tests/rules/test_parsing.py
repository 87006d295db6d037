"""The text of a definition: YAML 1.2 or JSON, parsed strictly."""

from __future__ import annotations

import pytest

from rules.definition import DefinitionError, read


def test_yaml_reads_strings_as_strings() -> None:
    assert read("a: [x, on, yes, 09:00, 21:00, 2026-01-01, 0x1F]") == {
        "a": ["x", "on", "yes", "09:00", "21:00", "2026-01-01", "0x1F"]
    }


def test_yaml_reads_numbers_booleans_and_null() -> None:
    assert read("a: [1, -2, 010, 1.5, 1e3, true, False, null, ~]\nb:") == {
        "a": [1, -2, 10, 1.5, 1000.0, True, False, None, None],
        "b": None,
    }


def test_json_is_parsed_too() -> None:
    assert read(' {"a": [1, "x", null]}') == {"a": [1, "x", None]}
    assert read("{a: 1}") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: &x [1]\nb: *x", 2, 4),
        ("a: 1\na: 2", 2, 1),
        ("a: [", 1, 5),
        ("a: b: c", 1, 5),
        ("a: !!python/object:os.system x", 1, 4),
        ("a: {1: 2}", 1, 5),
    ],
)
def test_an_error_has_its_line_and_column(text: str, line: int, column: int) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        '{"a":' * 5000,
        "a: " + "9" * 5000,
        '{"a": ' + "9" * 5000 + "}",
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "a: \0",
        "a: !!timestamp x",
        "a: !!bool x",
        "a: !own x",
        "x" * 300_000,
    ],
)
def test_a_text_too_large_too_deep_or_invalid_is_rejected(text: str) -> None:
    with pytest.raises(DefinitionError):
        read(text)
