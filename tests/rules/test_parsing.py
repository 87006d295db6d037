"""The text of a definition: YAML 1.2 or JSON, parsed strictly."""

from __future__ import annotations

import pytest
import yaml
from yaml.composer import Composer
from yaml.cyaml import CParser

from rules import parsing
from rules.definition import DefinitionError, read
from rules.parsing import MAX_VALUES
from rules.source_tree import map_positions


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


LARGE = {
    "flow lists": "a: [" + "[]," * 80_000 + "1]",
    "flow objects": "a: [" + "{a: 1}," * 30_000 + "1]",
    "block lists": "a:\n" + "- - - b\n" * 30_000,
    "fields": "\n".join(f"k{number}: 1" for number in range(24_000)),
    "json": '{"a":[' + "[]," * 80_000 + "1]}",
    "nearly json": '{"a":[' + "[]," * 80_000 + "1],}",
    "levels": "a: " + "[" * 100_000,
    "block levels": "- " * 100_000,
    "keys": "? " * 100_000,
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_no_more_values_are_read_than_the_bound(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []
    compose = Composer.compose_node
    monkeypatch.setattr(Composer, "compose_node", lambda *args: composed.append(1) or compose(*args))
    with pytest.raises(DefinitionError, match=r"more than 10,000 values|nested deeper than 64 levels"):
        read(text)
    map_positions(text)
    assert len(composed) <= 2 * MAX_VALUES


def test_fields_are_compared_once_to_find_a_duplicate() -> None:
    class Name(str):
        comparisons = 0

        def __eq__(self, other: object) -> bool:
            Name.comparisons += 1
            return super().__eq__(other)

        __hash__ = str.__hash__

    pairs = [(Name(f"k{number % 1999}"), 1) for number in range(2000)]
    with pytest.raises(DefinitionError, match='"k0" appears twice'):
        parsing._reject_duplicates(pairs)
    assert Name.comparisons < 10 * len(pairs)


def test_libyaml_reads_the_text_where_it_is_installed() -> None:
    assert yaml.__with_libyaml__ == issubclass(parsing.Loader, CParser)


def test_an_unfinished_text_has_its_error_at_the_end() -> None:
    with pytest.raises(DefinitionError) as caught:
        read("a: 1\nb: [\n")
    assert (caught.value.line, caught.value.column) == (3, 1)
