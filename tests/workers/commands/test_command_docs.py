"""docs/command.md describes exactly the subcommands of the code, with their help texts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
import pytest

import settings
from workers.command import beckon

PAGE = settings.ROOT / "docs" / "command.md"


def iterate_subcommands(group: click.Group, context: click.Context, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield each public subcommand with its section of the page."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        own_context = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from iterate_subcommands(command, own_context, (*path, name))
        else:
            yield " ".join((*path, name)), format_section(command, own_context, (*path, name))


def format_section(command: click.Command, context: click.Context, path: tuple[str, ...]) -> str:
    arguments = [param.make_metavar(context) for param in command.params if isinstance(param, click.Argument)]
    lines = [f"### `{' '.join((*path, *arguments))}`", "", inspect.cleandoc(command.help or ""), ""]
    options = [
        format_row(option) for option in command.params if isinstance(option, click.Option) and not option.hidden
    ]
    if options:
        lines += ["| option | what it does |", "| --- | --- |", *options, ""]
    return "\n".join(lines)


def format_row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    choices = f" One of {', '.join(option.type.choices)}." if isinstance(option.type, click.Choice) else ""
    default = f" Default: {option.default}." if option.show_default and not option.is_flag else ""
    return f"| {names} | {option.help}{choices}{default} |"


SECTIONS = dict(iterate_subcommands(beckon, click.Context(beckon, info_name="beckon"), ("beckon",)))


def read_sections() -> dict[str, str]:
    """Read the page's sections by their command."""
    parts = re.split(r"^(?=### )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {re.sub(r" ?[\[A-Z{].*", "", part.split("`")[1]): part.rstrip() + "\n" for part in parts}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_subcommand_s_section_matches_the_code(name):
    assert read_sections().get(name) == SECTIONS[name].rstrip() + "\n"


def test_the_page_has_no_other_subcommand():
    assert list(read_sections()) == list(SECTIONS)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_option_has_a_help_text(name):
    assert "| None" not in SECTIONS[name]
