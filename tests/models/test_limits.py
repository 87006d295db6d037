"""Racing reservations never exceed a daily limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier

import settings
from models import database
from models.database import connection
from models.engine import limits
from models.ids import new_id
from tests.support.rows import fetch_rows

THREADS, RESERVATIONS_PER_THREAD = 16, 10
DAY = date(2026, 5, 4)


def test_sixteen_racing_threads_reserve_exactly_a_limit_of_100(alices: str) -> None:
    database.open_pool(settings.load().database_service_url, "beckon_service", THREADS + 1)
    automation_id, barrier = new_id(), Barrier(THREADS)

    def reserve_many(_thread: int) -> list[limits.LimitReached | None]:
        with connection():
            barrier.wait(30)
            return [
                limits.reserve_daily_limit(
                    new_id(), 0, alices, automation_id, new_id(), DAY, daily_limit=100, contact_daily_limit=1
                )
                for _ in range(RESERVATIONS_PER_THREAD)
            ]

    with ThreadPoolExecutor(THREADS) as pool:
        results = [result for batch in pool.map(reserve_many, range(THREADS)) for result in batch]

    rejections = [result for result in results if result is not None]
    assert len(results) - len(rejections) == 100
    assert set(rejections) == {limits.LimitReached("daily_limit", 100, 100)}
    counts = fetch_rows("select count from limit_counts where contact_id = %s", (limits.ALL_CONTACTS,))
    assert [row["count"] for row in counts] == [100]
    assert len(fetch_rows("select 1 from limit_reservations")) == 100
