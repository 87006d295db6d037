"""The `beckon` command: one file in `workers/commands/` for each subcommand, imported when it is called.

Such a file is named after its subcommand (`process_pending.py` is `beckon process-pending`) and has the click command
or group as `command`; what is slow to import (models, tasks, providers) it imports inside, because `--help` loads them
all. What is wrong with the configuration or the machine ends with one line and a code that is not 0.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

from settings import SettingsError, export_env_file
from workers import commands
from workers.embedded import EmbeddedError
from workers.home import StartupError

#: Failures whose message is the whole story.
REPORTED_ERRORS = (SettingsError, StartupError, EmbeddedError)


class Subcommands(click.Group):
    """The files of `workers/commands/`, as subcommands."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Every subcommand's name, in order."""
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import one subcommand; None if there is no such file."""
        if name not in self.list_commands(context):
            return None
        module = importlib.import_module(f"workers.commands.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
def beckon() -> None:
    """Messaging automations: run them, trigger them, look after them."""


def main() -> None:
    """Run the command line and end the process."""
    try:
        export_env_file()
        beckon(prog_name="beckon")
    except REPORTED_ERRORS as error:
        click.echo(f"beckon: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
