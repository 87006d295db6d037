"""The last place under a limit goes to one of however many ask for it at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier

import settings
from models import database, limits
from models.database import connection, rows
from models.ids import new_id

THREADS, EACH = 16, 10
DAY = date(2026, 5, 4)


def test_sixteen_threads_that_race_for_a_limit_of_100_get_100(alices: str) -> None:
    database.open_pool(settings.load().database_service_url, "beckon_service", THREADS + 1)
    automation_id, barrier = new_id(), Barrier(THREADS)

    def ask(_thread: int) -> list[limits.LimitReached | None]:
        with connection():
            barrier.wait(30)
            return [
                limits.reserve(
                    new_id(), 0, alices, automation_id, new_id(), DAY, daily_limit=100, contact_daily_limit=1
                )
                for _ in range(EACH)
            ]

    with ThreadPoolExecutor(THREADS) as pool:
        answers = [answer for found in pool.map(ask, range(THREADS)) for answer in found]

    refused = [answer for answer in answers if answer is not None]
    assert len(answers) - len(refused) == 100
    assert set(refused) == {limits.LimitReached("daily_limit", 100, 100)}
    counts = rows("select count from limit_counts where contact_id = %s", (limits.EVERYBODY,))
    assert [one["count"] for one in counts] == [100]
    assert len(rows("select 1 from limit_reservations")) == 100
