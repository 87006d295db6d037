"""`beckon worker`: one worker process, as supervisord.conf runs it."""

from __future__ import annotations

import click

#: As `workers.worker_process` has them, which takes a second to import.
QUEUES = ("executions", "triggers", "generation", "sending", "tracking")
ENGINE_QUEUES = "executions,triggers,generation,sending"


def _parse_queues(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    queues = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in queues if name not in QUEUES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no queue. The queues are {', '.join(QUEUES)}.")
    return queues


@click.command()
@click.option(
    "--queues",
    default=ENGINE_QUEUES,
    show_default=True,
    callback=_parse_queues,
    help="The queues to serve, separated by commas.",
)
def command(queues: tuple[str, ...]) -> None:
    """Process queues until SIGTERM: without options, those of the engine."""
    from workers import worker_process

    worker_process.run_worker(queues)
