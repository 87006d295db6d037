"""`beckon doctor --deployment`: whether run tracking is deployed as docs/deployment.md wants it, point by point.

Each point is one function that answers a Check and never raises, as in `workers/examination.py`.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import psycopg2

from models import database, deployment, session, user, verification
from settings import Settings
from tasks import switches
from workers import kept_files
from workers.deployment_log import errors, tracking
from workers.examination import START, Check

#: A statistic or an answer that takes longer is too slow (the checklist's second week).
SLOW_MS = 200.0
#: Retention is done every hour; this long after its last success something is wrong.
CLEANED_WITHIN_SECONDS = 2.5 * 3600
_MIGRATE = "run `beckon migrate`"
_BACKFILL = "run `beckon runs backfill`; if it comes back, tell us"


def points(told: Settings) -> Iterator[Check]:
    """Every point of the list, each as soon as it is known."""
    yield _api(told)
    database.open_pool(told.database_service_url, "beckon_service", 1)
    try:
        yield _page(told)
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
    took_ms = []
    try:
        # The first answer of a process that has just started says nothing.
        for _ in range(3):
            began = time.perf_counter()
            listed = json.loads(_read(address, {"Authorization": f"Bearer {access['apiKey']}"}))["automations"]
            took_ms.append((time.perf_counter() - began) * 1000)
    except (OSError, ValueError, KeyError) as error:
        return Check("api", "problem", f"{address} does not answer: {error}", START)
    return judge_answer(told, listed, min(took_ms))


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


def _page(told: Settings) -> Check:
    """The cards, as the person of access.json sees them: in a session that ends with this look."""
    try:
        member, _ = user.find_sign_in(kept_files.read(told.home / "access.json").get("email") or "")
        if member is None:
            return Check("page", "note", "access.json names nobody who could look at it", "look at /automations")
        token = session.start(member)
        found = session.find(token)
        try:
            return judge_page(_read(f"{told.local_url}/automations", {"Cookie": f"{session.COOKIE}={token}"}))
        finally:
            if found is not None:
                session.end(found, token)
    except OSError as error:
        return Check("page", "problem", f"{told.local_url}/automations does not answer: {error}", START)
    except (peewee.PeeweeException, psycopg2.Error) as error:
        return Check("page", "problem", f"nobody can sign in: {error}".splitlines()[0], START)


def judge_page(shown: str) -> Check:
    """Whether every automation's card has its counts and its last day."""
    cards = shown.count('<article class="panel card')
    with_runs = min(shown.count("<span>Runs</span>"), shown.count('<svg class="spark"'))
    if cards != with_runs:
        words = f"{with_runs} of {cards} cards show their runs"
        return Check("page", "problem", words, "restart the dashboard: it may be an older one")
    return Check("page", "ok", f"{cards} cards with their runs, the last day and the last run")


def _read(address: str, headers: dict[str, str]) -> str:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
        return str(answer.read().decode())


def _without_stats(told: Settings) -> Check:
    if switches.forced(told).get("stats_in_api") is False:
        return Check("api", "note", "STATS_IN_API is 0, so stats are left out", "unset it and restart")
    return Check("api", "note", "the switch statsInApi is off, so stats are left out", "beckon switch statsInApi on")


def _not_counted(name: str, told: Settings) -> Check | None:
    """A point that says nothing while no run is counted."""
    if switches.forced(told).get("run_tracking") is not False:
        return None
    return Check(name, "note", "RUN_TRACKING is 0, so no run is counted", "unset it and restart")


def _records(told: Settings) -> Check:
    if (note := _not_counted("run records", told)) is not None:
        return note
    found = deployment.recorded()
    if found["late"]:
        words = f"{found['late']} runs could not be counted, the first {found['late_seconds']:.0f} s ago"
        remedy = "look for [TRACKING] in the logs and at the rights of beckon_service on automation_runs"
        return Check("run records", "problem", words, remedy)
    megabytes = found["bytes"] / 1_000_000
    return Check("run records", "ok", f"{found['runs']} in the last 24 hours, {megabytes:,.0f} MB in all")


def _volume(told: Settings) -> Check:
    if (note := _not_counted("volume", told)) is not None:
        return note
    found = deployment.volume()
    if found["without"]:
        words = f"{found['without']} of {found['executions']} executions of the last hour have no run and should"
        return Check("volume", "problem", words, "if RUN_TRACKING was 0 meanwhile, ask again in an hour; else tell us")
    return Check("volume", "ok", f"{found['executions']} executions of the last hour that count, none without its run")


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


#: By name, in the order in which they are shown.
OF_POSTGRES: dict[str, Callable[[Settings], Check]] = {
    "run records": _records,
    "volume": _volume,
    "log lines": lambda told: tracking(told, deployment.recorded()["runs"]),
    "errors": errors,
    "counters": _invariant("counters", "run_counters", "every automation's are archived plus rows"),
    "duplicates": _invariant("duplicates", "runs_are_apart", "none: a contact's runs are an hour apart"),
    "once each": _invariant("once each", "one_run", "no execution was counted twice"),
    "indexes": _indexes,
    "query times": _query_times,
    "retention": _retention,
}
