"""`beckon restore-check`: which messages have left since the backup that the database was restored from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from workers.console import as_json as json_option
from workers.console import connect, current_actor, find_workspace_id, format_time, show_json, show_table, to_api_names

if TYPE_CHECKING:
    from tasks.operators.restores import RestoreCheck

#: A decision about messages that may have been sent, and the bulk action that applies it.
DECISIONS: dict[str, Literal["sent", "resend", "discard"]] = {"sent": "sent", "send": "resend", "discard": "discard"}


@click.command()
@click.option("--since", type=click.DateTime(), help="Time of the backup, in UTC. Default: its newest send.")
@click.option("--decide", type=click.Choice(list(DECISIONS)), help="Decide about the messages that may have been sent.")
@click.option("--provider", help="Decide about the messages of this provider only.")
@click.option("--workspace", help="Decide about, or resume, this workspace only: its slug or id.")
@click.option("--resume", is_flag=True, help="Resume the sends that `beckon up --paused` paused.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Messages to list.")
@json_option
def command(
    since: datetime | None, decide: str | None, provider: str | None, workspace: str | None, resume: bool, limit: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Find out what has left since the backup that the database was restored from.

    Start with `beckon up --paused`. Mailgun is asked for every message since the backup, and those that it lists are
    marked as sent. The others that wait for a send become messages of unknown outcome: Mailgun is asked once more,
    35 minutes after the start, and Telnyx, once no execution is on its way to a send, for each number. Its records can
    prove that a message was sent, never that it was not. --decide says what becomes of the rest: sent (continue with
    the next step), send (again), or discard. Run it until no execution is on its way to a send, then --resume.
    """
    with connect() as settings:
        from tasks.operators import restores

        workspace_ids = [find_workspace_id(workspace)] if workspace else None
        if resume:
            resumed = restores.resume_sends(current_actor(), workspace_ids)
            _show_result(as_json, "resumed", resumed, "executions continue.")
        elif decide:
            decided = restores.decide(DECISIONS[decide], provider, workspace_ids, current_actor())
            _show_result(as_json, "decided", decided, "messages decided.")
        else:
            at = since and since.replace(tzinfo=UTC)
            _show(restores.check_restore(settings, at, limit, current_actor()), as_json)


def _show_result(as_json: bool, name: str, number: int, words: str) -> None:
    if as_json:
        show_json({name: number})
    else:
        click.echo(f"{number:,} {words}")


def _show(check: RestoreCheck, as_json: bool) -> None:
    if as_json:
        show_json({**to_api_names(vars(check)), "messages": [to_api_names(row) for row in check.messages]})
        return
    click.echo(f"Since {format_time(check.since)} UTC:")
    providers = sorted({*check.sent, *check.undecided, *check.errors})
    lines = [
        [name, check.sent.get(name, 0), check.undecided.get(name, 0), check.errors.get(name)] for name in providers
    ]
    show_table(("provider", "marked as sent", "undecided", "error"), lines, "No message has left or may have left.")
    _show_undecided(check.messages)
    if check.on_their_way:
        click.echo(f"{check.on_their_way:,} executions are on their way to a send: run this again.")


def _show_undecided(messages: Sequence[Any]) -> None:
    if messages:
        lines = [[row["id"], row["provider"], row["to_address"], row["look_up_at"]] for row in messages]
        show_table(("message", "provider", "to", "next look-up"), lines, "")
