"""An edit of a definition's text changes only the lines of the edited values."""

from __future__ import annotations

import json
import re
from difflib import unified_diff
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.demo.examples import EXAMPLES
from rules.parsing import is_json, read
from rules.serialization import DefinitionDumper, write
from rules.source_edits import Edit, EditError, edit_document, edit_text, is_same, rewrite
from rules.source_tree import Path, build_tree, format_path, map_positions, parse_path

TEXT = """\
# Welcome flow; ask Ada before you change it
trigger: {type: contact.created}   # every new contact
rules:
    daily_limit:   200  # per day
    tags: {all: [lead], "none": ['customer']}

steps:
  # greets
  - id: hello
    action: send_email     # once
    with:
      subject: 'Hello {{ contact.first_name }}'
      body: |
        Dear {{ contact.first_name }},

          indented

    # retried
    retry: {max: 2}

  # waits
  - id: pause
    action: wait
    with: {for: 2h}

  - action: branch
    id: fork
    if: "contact.tags contains 'lead'"
    then:
    - id: deep   # indentless list
      action: stop
    else: []
# the end
"""


def edit(text: str, op: Any, path: str, value: Any = None, to: str = "") -> str:
    return edit_text(text, [Edit(op, parse_path(path), value, parse_path(to))])


def list_changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that were removed, and those that were added."""
    lines = list(unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return [line[1:] for line in lines if line[0] == "-"], [line[1:] for line in lines if line[0] == "+"]


@pytest.mark.parametrize(
    ("op", "path", "value", "removed", "added"),
    [
        ("set", "steps[0].with.subject", "Hi", ["      subject: 'Hello {{ contact.first_name }}'"],
         ["      subject: 'Hi'"]),
        ("set", "steps[0].with.subject", "it's", ["      subject: 'Hello {{ contact.first_name }}'"],
         ["      subject: 'it''s'"]),
        ("set", "rules.daily_limit", 100, ["    daily_limit:   200  # per day"], ["    daily_limit:   100  # per day"]),
        ("set", "rules.daily_limit", True, ["    daily_limit:   200  # per day"],
         ["    daily_limit:   true  # per day"]),
        ("set", "steps[0].action", "send_sms",
         ["    action: send_email     # once"], ["    action: send_sms     # once"]),
        ("set", "steps[1].with.for", "3h", ["    with: {for: 2h}"], ["    with: {for: 3h}"]),
        ("set", "steps[2].then[0].action", "wait", ["      action: stop"], ["      action: wait"]),
        ("set", "rules.where", "true", [], ["    where: 'true'"]),
        ("set", "steps[2].if", "contact.email == nil", ["""    if: "contact.tags contains 'lead'\""""],
         ['    if: "contact.email == nil"']),
        ("delete", "steps[0].retry", None, ["    # retried", "    retry: {max: 2}"], []),
        ("delete", "rules.daily_limit", None, ["    daily_limit:   200  # per day"], []),
        ("delete", "rules.tags.none", None, ["""    tags: {all: [lead], "none": ['customer']}"""],
         ["    tags: {all: [lead]}"]),
        ("delete", "steps[2].then[0]", None, ["    then:", "    - id: deep   # indentless list", "      action: stop"],
         ["    then: []"]),
        ("delete", "steps[1]", None, ["  # waits", "  - id: pause", "    action: wait", "    with: {for: 2h}"], []),
        ("insert", "rules.tags.all[1]", "new", ["""    tags: {all: [lead], "none": ['customer']}"""],
         ["""    tags: {all: [lead, new], "none": ['customer']}"""]),
        ("insert", "steps[2].then[0]", {"id": "x", "action": "stop"}, [], ["    - id: x", "      action: stop"]),
        ("insert", "steps[1]", {"id": "x", "action": "stop"}, [], ["  - id: x", "    action: stop", ""]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_lines_of_the_edited_value_change(
    op: str, path: str, value: Any, removed: list[str], added: list[str], newline: str
) -> None:
    text = TEXT.replace("\n", newline)
    after = edit(text, op, path, value)
    assert after.count("\n") == after.count(newline)
    assert list_changed_lines(text, after) == (removed, added)
    assert is_same(read(after), edit_document(read(text), Edit(op, parse_path(path), value)))  # type: ignore[arg-type]


def test_a_step_is_moved_with_its_comments() -> None:
    after = edit(TEXT, "move", "steps[1]", to="steps[2]")
    lines = ["  # waits", "  - id: pause", "    action: wait", "    with: {for: 2h}"]
    assert [list(filter(None, changed)) for changed in list_changed_lines(TEXT, after)] == [lines, lines]
    nested = edit(TEXT, "move", "steps[0]", to="steps[1].else[0]")
    assert "    else:\n      # greets\n      - id: hello\n        action: send_email     # once\n" in nested
    assert "          body: |\n            Dear {{ contact.first_name }},\n\n              indented\n" in nested
    assert "# the end\n" in nested
    assert read(nested)["steps"][1]["else"][0] == read(TEXT)["steps"][0]  # type: ignore[index]


def test_an_arm_that_a_step_does_not_have_is_added() -> None:
    text = "steps:\n  - id: a # first\n    action: wait_until\n  - id: b # second\n    action: stop\n"
    assert edit(text, "move", "steps[1]", to="steps[0].then[0]") == (
        "steps:\n  - id: a # first\n    action: wait_until\n    then:\n      - id: b # second\n        action: stop\n"
    )
    assert "    else:\n      - id: c\n" in edit(text, "insert", "steps[0].else[0]", {"id": "c", "action": "stop"})


JSON_TEXT = """{
\t"trigger": {"type": "a", "path": "\\/x\\ud83d\\ude00"},
\t"steps": [
\t\t{
\t\t\t"id": "a",
\t\t\t"action": "stop"
\t\t}, {"id":"b","action":"stop"}
\t]
}
"""


def test_json_stays_json_and_as_it_is_written() -> None:
    after = edit(JSON_TEXT, "set", "steps[0].action", "wait")
    assert after == JSON_TEXT.replace('"stop"', '"wait"', 1)
    added = edit(JSON_TEXT, "set", "steps[0].with", {"for": "2h"})
    assert json.loads(added)["steps"][0] == {"id": "a", "action": "stop", "with": {"for": "2h"}}
    assert list_changed_lines(JSON_TEXT, added)[0] == ['\t\t\t"action": "stop"']
    for op, path in (("delete", "steps[0]"), ("delete", "steps[1]"), ("delete", "steps[0].id"), ("delete", "trigger")):
        changed = edit(JSON_TEXT, op, path)
        assert json.loads(changed) == edit_document(json.loads(JSON_TEXT), Edit(op, parse_path(path)))  # type: ignore[arg-type]
    moved = edit(JSON_TEXT, "move", "steps[0]", to="steps[1]")
    assert [step["id"] for step in json.loads(moved)["steps"]] == ["b", "a"]


@pytest.mark.parametrize(
    ("op", "path", "to"),
    [("set", "steps[9].id", ""), ("set", "nothing.at", ""), ("delete", "rules.where", ""), ("insert", "steps[4]", ""),
     ("insert", "rules.where", ""), ("move", "steps[0]", "steps[3]"), ("move", "rules.tags", "steps[0]"),
     ("move", "steps[0]", ""), ("delete", "", ""), ("move", "steps[0]", "steps[0].with.then[0].x")],
)  # fmt: skip
def test_an_edit_of_what_does_not_exist_is_refused_by_its_path(op: str, path: str, to: str) -> None:
    with pytest.raises(EditError):
        edit(TEXT, op, path, 1, to)


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "{}", "a: 1", "\ufeffa: 1\r\nb: 2", "steps: # none\n", "- a", "{a: 1, }"]
)
def test_any_document_can_become_another_one(text: str) -> None:
    document = {"trigger": {"type": "a"}, "steps": [{"id": "a", "action": "stop"}]}
    assert read(rewrite(text, document)) == document


def test_the_byte_order_mark_and_a_text_without_a_change_stay() -> None:
    assert rewrite("\ufeff" + TEXT, read(TEXT)) == "\ufeff" + TEXT
    assert edit("\ufeff" + TEXT, "set", "rules.daily_limit", 1).startswith("\ufeff# Welcome")


def test_a_new_order_moves_as_few_steps_as_it_can() -> None:
    document: Any = read(TEXT)
    document["steps"] = [*document["steps"][1:], document["steps"][0]]
    document["steps"][1]["then"][0]["action"] = "wait"
    after = rewrite(TEXT, document)
    assert read(after) == document
    for comment in ("# greets", "# once", "# waits", "# indentless list", "# retried", "# the end"):
        assert comment in after


def test_fields_with_dots_in_their_names_are_edited() -> None:
    text = "steps:\n- id: a\n  with: {set: {a.b: 1}} # dotted\n"
    after = edit_text(text, [Edit("set", ("steps", 0, "with", "set", "a.b"), 2)])
    assert after == text.replace("1", "2")


# Documents as people and programs write them: several layouts of the same values.
SCALARS = st.one_of(
    st.booleans(), st.integers(-1000, 1000), st.none(),
    st.text(st.sampled_from("ab {}:#'\"\n-,[]&*!|>%@\t é😀\u2028"), max_size=12),
    st.sampled_from(["on", "yes", "09:00", "{{ contact.first_name | default: 'x' }}", "two\nlines", "a # b", "1e3"]),
)  # fmt: skip
NAMES = st.sampled_from(["subject", "body", "for", "text", "with space", "x.y", "true", "1", "#", "é"])
WITH = st.dictionaries(NAMES, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4)


def build_steps(levels: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    fields = {"action": st.sampled_from(["stop", "wait", "branch"])}
    optional: dict[str, Any] = {"with": WITH, "if": SCALARS}
    if levels:
        optional |= {"then": build_steps(levels - 1), "else": build_steps(levels - 1)}
    step = st.fixed_dictionaries(fields, optional=optional)
    return st.lists(step, max_size=4).map(
        lambda steps: [{"id": f"s{levels}{index}", **step} for index, step in enumerate(steps)]
    )


DOCUMENTS = st.fixed_dictionaries(
    {"trigger": st.fixed_dictionaries({"type": st.just("a")}, optional={"with": WITH}), "steps": build_steps(2)},
    optional={"rules": WITH},
)


def comment_lines(text: str) -> str:
    """The text with a comment at the end of lines that begin an item, and one above them."""
    return re.sub(r"^( *)- (\w+: \w+)$", r"\n\1# above \2\n\1- \2  # beside", text, flags=re.MULTILINE)


def lay_out(document: Any, layout: str) -> str:
    """The document as a text of this layout."""
    text = write(document)
    if layout == "commented" and read(comment_lines(text)) == document:
        return comment_lines(text)
    if layout == "windows" and read(text.replace("\n", "\r\n")) == document:
        return text.replace("\n", "\r\n")
    if layout == "flow":
        return yaml.dump(document, default_flow_style=True, sort_keys=False, Dumper=DefinitionDumper)
    if layout == "json":
        return json.dumps(document)
    return json.dumps(document, indent=4, ensure_ascii=False) if layout == "indented json" else text


LAYOUTS = st.sampled_from(["plain", "commented", "windows", "flow", "json", "indented json"])


def list_paths(value: Any, path: Path = ()) -> list[Path]:
    """The paths of all values of a document, without the document."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [inner_path for name, inner in items for inner_path in [(*path, name), *list_paths(inner, (*path, name))]]


def draw_edit(draw: Any, document: Any) -> Edit:
    """A random edit of the document."""
    paths = list_paths(document)
    path = draw(st.sampled_from(paths))
    op = draw(st.sampled_from(["set", "insert", "delete", "move"]))
    value = draw(st.one_of(SCALARS, WITH, build_steps(1)))
    items = [item for item in paths if isinstance(item[-1], int)]
    if op in ("insert", "move") and items:
        path, target = draw(st.sampled_from(items)), draw(st.sampled_from(items))
        return Edit(op, path, value if op == "insert" else None, target if op == "move" else ())
    if op == "set" and draw(st.booleans()) and isinstance(path[-1], str):
        path = (*path[:-1], draw(NAMES))
    return Edit("delete" if op == "delete" else "set", path, value)


@given(data=st.data(), document=DOCUMENTS, layout=LAYOUTS)
@settings(max_examples=150, deadline=None)
def test_the_edited_text_is_the_edited_document(data: st.DataObject, document: Any, layout: str) -> None:
    text = lay_out(document, layout)
    assert is_same(read(text), document)
    edit_ = draw_edit(data.draw, document)
    try:
        after = edit_document(document, edit_)
    except EditError:
        with pytest.raises(EditError):
            edit_text(text, [edit_])
        return
    edited = edit_text(text, [edit_])
    assert is_same(read(edited), after)
    assert is_json(edited) == is_json(text)
    if edit_.op in ("set", "delete", "insert") and len(edit_.path) > 2 and edit_.path[0] == "steps":
        assert_other_steps_stay(text, edited, edit_.path)


def assert_other_steps_stay(text: str, edited: str, path: Path) -> None:
    """The text before and after the lines of the edited step is the same."""
    tree = build_tree(text)
    entry = tree.find_entry(path[:2])
    assert entry is not None
    before = text[: entry.start]
    after = text[tree.find_line_end(entry.value.end) :] if not tree.find(("steps",)).style else text[entry.value.end :]  # type: ignore[union-attr]
    assert edited.startswith(before)
    assert edited.endswith(after)


@given(before=DOCUMENTS, after=DOCUMENTS, layout=LAYOUTS)
@settings(max_examples=60, deadline=None)
def test_a_text_becomes_any_other_document(before: Any, after: Any, layout: str) -> None:
    text = lay_out(before, layout)
    assert is_same(read(rewrite(text, after)), after)
    assert rewrite(text, before) == text


@given(document=DOCUMENTS, layout=LAYOUTS)
@settings(max_examples=60, deadline=None)
def test_every_value_has_its_place(document: Any, layout: str) -> None:
    text = lay_out(document, layout)
    tree, positions = build_tree(text), map_positions(text)
    for path in list_paths(document):
        assert tree.find(path) is not None, path
        assert format_path(path) in positions


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_edited_at_each_value(example: Any) -> None:
    text = write(example.definition)
    for path in list_paths(example.definition):
        edited = edit_text(text, [Edit("set", path, "another")])
        assert is_same(read(edited), edit_document(example.definition, Edit("set", path, "another")))
