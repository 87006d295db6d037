"""Lists as CSV files, written in pieces: no download holds a whole list in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flask

from dashboard.responses import ListRow
from rules.csv_cells import format_row

#: Rows that are read at once.
BATCH_SIZE = 1_000


def respond_with_csv(
    filename: str,
    columns: Sequence[str],
    fetch_rows: Callable[[int, str | None], Sequence[ListRow]],
    build_cells: Callable[[ListRow], Sequence[Any]],
    *,
    max_rows: int | None = None,
) -> flask.Response:
    """A download of rows, newest first; `fetch_rows` takes a number of rows and the id that they come before.

    `max_rows` is a multiple of `BATCH_SIZE`.
    """
    lines = _write_lines(columns, fetch_rows, build_cells, max_rows)
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return flask.Response(lines, mimetype="text/csv", headers=headers)


def _write_lines(
    columns: Sequence[str],
    fetch_rows: Callable[[int, str | None], Sequence[ListRow]],
    build_cells: Callable[[ListRow], Sequence[Any]],
    max_rows: int | None,
) -> Iterator[str]:
    yield format_row(columns)
    before, written = None, 0
    while max_rows is None or written < max_rows:
        rows = fetch_rows(BATCH_SIZE, before)
        yield "".join(format_row(build_cells(row)) for row in rows)
        written += len(rows)
        if len(rows) < BATCH_SIZE:
            return
        before = rows[-1]["id"]
