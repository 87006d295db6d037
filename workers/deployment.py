"""`beckon doctor --deployment`: whether run tracking is deployed as docs/deployment.md wants it, point by point.

Each point is one function that answers a Check and never raises, as in `workers/examination.py`.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import peewee
import psycopg2

import clock
from models import database, deployment, verification
from settings import Settings
from tasks import switches
from workers import kept_files
from workers.examination import START, Check

#: A statistic or an answer that takes longer is too slow (the checklist's second week).
SLOW_MS = 200.0
#: Retention is done every hour; this long after its last success something is wrong.
CLEANED_WITHIN_SECONDS = 2.5 * 3600
#: So much of the end of each log is read.
_TAIL_BYTES = 4_000_000
_MIGRATE = "run `beckon migrate`"
_BACKFILL = "run `beckon runs backfill`; if it comes back, tell us"


def points(told: Settings) -> Iterator[Check]:
    """Every point of the list, each as soon as it is known."""
    yield _api(told)
    database.open_pool(told.database_service_url, "beckon_service", 1)
    try:
        for name in OF_POSTGRES:
            yield judged(name, told)
    finally:
        database.db.close_all()


def judged(name: str, told: Settings) -> Check:
    """One of the points that PostgreSQL is asked for."""
    try:
        return OF_POSTGRES[name](told)
    except (peewee.PeeweeException, psycopg2.Error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Check(name, "problem", f"cannot be asked for: {reason}", f"{_MIGRATE}, and look at PostgreSQL")


def _api(told: Settings) -> Check:
    access = kept_files.read(told.home / "access.json")
    if not access.get("apiKey"):
        return Check("api", "problem", "access.json has no key to ask the API with", START)
    address = f"{told.local_url}/api/workspaces/{access['workspaceId']}/automations"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {access['apiKey']}"})
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            listed = json.load(answer)["automations"]
    except (OSError, urllib.error.URLError, ValueError, KeyError) as error:
        return Check("api", "problem", f"{address} does not answer: {error}", START)
    return judge_answer(told, listed, (time.perf_counter() - began) * 1000)


def judge_answer(told: Settings, listed: list[dict[str, Any]], took_ms: float) -> Check:
    """Whether the API's list of automations is as the contract says, and quick."""
    for one in listed:
        right = {"totalRuns": isinstance(one.get("totalRuns"), int), "lastRunAt": "lastRunAt" in one}
        wrong = [name for name, is_right in right.items() if not is_right]
        stats = one.get("stats")
        if wrong:
            return Check("api", "problem", f"{one.get('id')} has no right {', '.join(wrong)}", _MIGRATE)
        if stats is None:
            return _without_stats(told)
        if not all(isinstance(stats.get(name), int) for name in ("totalRuns", "last24Hours")):
            return Check("api", "problem", f"stats of {one.get('id')} are {stats}", "restart the dashboard")
    if took_ms >= SLOW_MS:
        return Check("api", "problem", f"took {took_ms:.0f} ms", "look at PostgreSQL: it should be under 200 ms")
    return Check("api", "ok", f"{len(listed)} automations with their stats in {took_ms:.0f} ms")


def _without_stats(told: Settings) -> Check:
    if switches.forced(told).get("stats_in_api") is False:
        return Check("api", "note", "STATS_IN_API is 0, so stats are left out", "unset it and restart")
    return Check("api", "note", "the switch statsInApi is off, so stats are left out", "beckon switch statsInApi on")


def _records(told: Settings) -> Check:
    found = deployment.recorded()
    if found["late"]:
        words = f"{found['late']} runs could not be counted, the first {found['late_seconds']:.0f} s ago"
        remedy = "look for [TRACKING] in the logs and at the rights of beckon_service on automation_runs"
        return Check("run records", "problem", words, remedy)
    if switches.forced(told).get("run_tracking") is False:
        return Check("run records", "note", "RUN_TRACKING is 0, so no run is counted", "unset it and restart")
    megabytes = found["bytes"] / 1_000_000
    return Check("run records", "ok", f"{found['runs']} in the last 24 hours, {megabytes:,.0f} MB in all")


def _invariant(name: str, invariant: str, well: str) -> Callable[[Settings], Check]:
    def ask(_: Settings) -> Check:
        (finding,) = verification.verify(only=[invariant])
        if finding.holds:
            return Check(name, "ok", well)
        words = f"{finding.violations} broken, such as {finding.examples[0]}: {finding.promise}"
        return Check(name, "problem", words, _BACKFILL)

    return ask


def _indexes(_: Settings) -> Check:
    missing = deployment.missing_indexes()
    if missing:
        remedy = "make it as migrations/*_run_indexes.up.sql does"
        return Check("indexes", "problem", f"not there, or not valid: {', '.join(missing)}", remedy)
    whole = deployment.scanned_whole()
    if whole:
        return Check("indexes", "problem", f"not used: {', '.join(whole)} is read from end to end", "analyze it")
    return Check("indexes", "ok", f"{', '.join(deployment.INDEXES)}: there, and the statistics' plan uses them")


def _query_times(_: Settings) -> Check:
    deployment.statistics_ms()
    took = deployment.statistics_ms()
    if took >= SLOW_MS:
        return Check("query times", "problem", f"statistics took {took:.0f} ms", "vacuum and analyze automation_runs")
    return Check("query times", "ok", f"statistics of {deployment.A_PAGE} automations at most in {took:.1f} ms")


def _retention(_: Settings) -> Check:
    state = deployment.retention_state()
    if state["too_old"]:
        return Check("retention", "problem", "runs are older than 90 days", "see that the scheduler runs")
    if not state["days_ahead"]:
        return Check("retention", "problem", "no partition is there for tomorrow", "see that the scheduler runs")
    ago = state["cleaned_seconds_ago"]
    if ago is None or ago > CLEANED_WITHIN_SECONDS:
        words = "never done" if ago is None else f"last done {ago / 3600:.1f} h ago"
        return Check("retention", "problem", words, "see that the scheduler runs: `beckon doctor`")
    return Check("retention", "ok", f"last done {ago / 60:.0f} min ago, {state['days_ahead']} days ahead")


def _log(told: Settings) -> Check:
    return judge_log(told, deployment.recorded()["runs"])


def judge_log(told: Settings, counted: int) -> Check:
    """Whether the logs say what was tracked, and of no failure in the last hour."""
    said = [line for file in sorted(Path(told.home, "logs").glob("*.log")) for line in _tracking_lines(file)]
    since = clock.now() - timedelta(hours=1)
    failed = [line for line in said if line.get("level") in ("warning", "error") and _moment(line) > since]
    if failed:
        words = f"{len(failed)} failures in the last hour, the last: {failed[-1].get('error', failed[-1]['event'])}"
        return Check("log lines", "problem", words, "runs are counted once that is mended")
    tracked = sum(line["event"].startswith("[TRACKING] Automation run tracked") for line in said)
    if counted and not tracked:
        words = f"{counted} runs in the last 24 hours, and no [TRACKING] line in {told.home}/logs"
        return Check(
            "log lines", "note", words, "look where the workers log to; BECKON_LOG_LEVEL must be INFO or DEBUG"
        )
    return Check("log lines", "ok", f"{tracked} runs and {len(said) - tracked} duplicates in the newest logs")


def _tracking_lines(file: Path) -> Iterator[dict[str, Any]]:
    with open(file, "rb") as log:
        log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        for line in log:
            if b"[TRACKING]" not in line:
                continue
            try:
                yield json.loads(line)
            except ValueError:
                # Cut off by where the reading began, or not ours.
                continue


def _moment(line: dict[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(str(line["timestamp"])).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


#: By name, in the order in which they are shown.
OF_POSTGRES: dict[str, Callable[[Settings], Check]] = {
    "run records": _records,
    "log lines": _log,
    "counters": _invariant("counters", "run_counters", "every automation's are archived plus rows"),
    "duplicates": _invariant("duplicates", "runs_are_apart", "none: a contact's runs are an hour apart"),
    "once each": _invariant("once each", "one_run", "no execution was counted twice"),
    "indexes": _indexes,
    "query times": _query_times,
    "retention": _retention,
}
