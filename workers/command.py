"""The `beckon` command: one file in `workers/commands/` for each subcommand, imported when it is called.

The file is named after its subcommand (`pending.py` is `beckon pending`, `_` becomes `-`) and defines the click command
or group as `command`. It imports slow modules (models, tasks, providers) inside its functions, because `--help` loads
every file. An error in the configuration or on the machine ends the command with one line and a non-zero exit code.
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

#: Errors whose message says everything: they are printed without a traceback.
REPORTED_ERRORS = (SettingsError, StartupError, EmbeddedError)


class Subcommands(click.Group):
    """Presents the files of `workers/commands/` as subcommands."""

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
    """Run, trigger and operate messaging automations."""


def main() -> None:
    """Run the command line and exit the process."""
    try:
        export_env_file()
        beckon(prog_name="beckon")
    except REPORTED_ERRORS as error:
        click.echo(f"beckon: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
