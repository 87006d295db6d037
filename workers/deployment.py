"""`beckon doctor --deployment`: whether run tracking is deployed as docs/deployment.md wants it, point by point.

Each point is one function that answers a Check and never raises, as in `workers/diagnostics.py`.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import psycopg2

from models import database, session, user
from models.checks import deployment, verification
from settings import Settings
from tasks.operators import switches
from workers import generated_secrets
from workers.deployment_log import check_errors, check_tracking
from workers.diagnostics import START_REMEDY, Check

#: A statistic or an answer that takes longer is too slow (the checklist's second week).
SLOW_MS = 200.0
#: Retention is done every hour; this long after its last success something is wrong.
MAX_RETENTION_AGE_SECONDS = 2.5 * 3600
_MIGRATE = "run `beckon migrate`"
_BACKFILL = "run `beckon runs backfill`; if it comes back, tell us"


def run_checks(settings: Settings) -> Iterator[Check]:
    """Every point of the list, each as soon as it is known."""
    yield _check_api(settings)
    database.open_pool(settings.database_service_url, "beckon_service", 1)
    try:
        yield _check_page(settings)
        for name in DATABASE_CHECKS:
            yield run_check(name, settings)
    finally:
        database.db.close_all()


def run_check(name: str, settings: Settings) -> Check:
    """One of the points that PostgreSQL is asked for."""
    try:
        return DATABASE_CHECKS[name](settings)
    except (peewee.PeeweeException, psycopg2.Error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Check(name, "problem", f"cannot be asked for: {reason}", f"{_MIGRATE}, and look at PostgreSQL")


def _check_api(settings: Settings) -> Check:
    access = generated_secrets.read(settings.home / "access.json")
    if not access.get("apiKey"):
        return Check("api", "problem", "access.json has no key to ask the API with", START_REMEDY)
    address = f"{settings.local_url}/api/workspaces/{access['workspaceId']}/automations"
    took_ms = []
    try:
        # The first answer of a process that has just started says nothing.
        for _ in range(3):
            began = time.perf_counter()
            automations = json.loads(_fetch(address, {"Authorization": f"Bearer {access['apiKey']}"}))["automations"]
            took_ms.append((time.perf_counter() - began) * 1000)
    except (OSError, ValueError, KeyError) as error:
        return Check("api", "problem", f"{address} does not answer: {error}", START_REMEDY)
    return check_api_response(settings, automations, min(took_ms))


def check_api_response(settings: Settings, automations: list[dict[str, Any]], took_ms: float) -> Check:
    """Whether the API's list of automations is as the contract says, and quick."""
    for automation in automations:
        right = {"totalRuns": isinstance(automation.get("totalRuns"), int), "lastRunAt": "lastRunAt" in automation}
        wrong = [name for name, is_right in right.items() if not is_right]
        stats = automation.get("stats")
        if wrong:
            return Check("api", "problem", f"{automation.get('id')} has no right {', '.join(wrong)}", _MIGRATE)
        if stats is None:
            return _report_missing_stats(settings)
        if not all(isinstance(stats.get(name), int) for name in ("totalRuns", "last24Hours")):
            return Check("api", "problem", f"stats of {automation.get('id')} are {stats}", "restart the dashboard")
    if took_ms >= SLOW_MS:
        return Check("api", "problem", f"took {took_ms:.0f} ms", "look at PostgreSQL: it should be under 200 ms")
    return Check("api", "ok", f"{len(automations)} automations with their stats in {took_ms:.0f} ms")


def _check_page(settings: Settings) -> Check:
    """The cards, as the person of access.json sees them: in a session that ends with this look."""
    try:
        member, _ = user.find_sign_in(generated_secrets.read(settings.home / "access.json").get("email") or "")
        if member is None:
            return Check("page", "note", "access.json names nobody who could look at it", "look at /automations")
        token = session.start(member)
        active_session = session.find(token)
        try:
            return check_page_html(_fetch(f"{settings.local_url}/automations", {"Cookie": f"{session.COOKIE}={token}"}))
        finally:
            if active_session is not None:
                session.end(active_session, token)
    except OSError as error:
        return Check("page", "problem", f"{settings.local_url}/automations does not answer: {error}", START_REMEDY)
    except (peewee.PeeweeException, psycopg2.Error) as error:
        return Check("page", "problem", f"nobody can sign in: {error}".splitlines()[0], START_REMEDY)


def check_page_html(html: str) -> Check:
    """Whether every automation's card has its counts and its last day."""
    cards = html.count('<article class="panel card')
    with_runs = min(html.count("<span>Runs</span>"), html.count('<svg class="spark"'))
    if cards != with_runs:
        detail = f"{with_runs} of {cards} cards show their runs"
        return Check("page", "problem", detail, "restart the dashboard: it may be an older one")
    return Check("page", "ok", f"{cards} cards with their runs, the last day and the last run")


def _fetch(address: str, headers: dict[str, str]) -> str:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as response:
        return str(response.read().decode())


def _report_missing_stats(settings: Settings) -> Check:
    if switches.read_forced(settings).get("stats_in_api") is False:
        return Check("api", "note", "STATS_IN_API is 0, so stats are left out", "unset it and restart")
    return Check("api", "note", "the switch statsInApi is off, so stats are left out", "beckon switch statsInApi on")


def _note_tracking_off(name: str, settings: Settings) -> Check | None:
    """A point that says nothing while no run is counted."""
    if switches.read_forced(settings).get("run_tracking") is not False:
        return None
    return Check(name, "note", "RUN_TRACKING is 0, so no run is counted", "unset it and restart")


def _check_run_records(settings: Settings) -> Check:
    if (note := _note_tracking_off("run records", settings)) is not None:
        return note
    counts = deployment.fetch_run_records()
    if counts["late"]:
        detail = f"{counts['late']} runs could not be counted, the first {counts['late_seconds']:.0f} s ago"
        remedy = "look for [TRACKING] in the logs and at the rights of beckon_service on automation_runs"
        return Check("run records", "problem", detail, remedy)
    megabytes = counts["bytes"] / 1_000_000
    return Check("run records", "ok", f"{counts['runs']} in the last 24 hours, {megabytes:,.0f} MB in all")


def _check_volume(settings: Settings) -> Check:
    if (note := _note_tracking_off("volume", settings)) is not None:
        return note
    counts = deployment.fetch_volume()
    if counts["without"]:
        detail = f"{counts['without']} of {counts['executions']} executions of the last hour have no run and should"
        return Check("volume", "problem", detail, "if RUN_TRACKING was 0 meanwhile, ask again in an hour; else tell us")
    return Check("volume", "ok", f"{counts['executions']} executions of the last hour that count, none without its run")


def _build_invariant_check(name: str, invariant: str, ok_detail: str) -> Callable[[Settings], Check]:
    def check(_: Settings) -> Check:
        (finding,) = verification.verify(only=[invariant])
        if finding.holds:
            return Check(name, "ok", ok_detail)
        detail = f"{finding.violations} broken, such as {finding.examples[0]}: {finding.promise}"
        return Check(name, "problem", detail, _BACKFILL)

    return check


def _check_indexes(_: Settings) -> Check:
    missing = deployment.find_missing_indexes()
    if missing:
        remedy = "make it as migrations/*_run_indexes.up.sql does"
        return Check("indexes", "problem", f"not there, or not valid: {', '.join(missing)}", remedy)
    full_scans = deployment.find_scanned_tables()
    if full_scans:
        return Check("indexes", "problem", f"not used: {', '.join(full_scans)} is read from end to end", "analyze it")
    return Check("indexes", "ok", f"{', '.join(deployment.INDEXES)}: there, and the statistics' plan uses them")


def _check_query_times(_: Settings) -> Check:
    deployment.measure_statistics_ms()
    duration_ms = deployment.measure_statistics_ms()
    if duration_ms >= SLOW_MS:
        return Check(
            "query times", "problem", f"statistics took {duration_ms:.0f} ms", "vacuum and analyze automation_runs"
        )
    return Check(
        "query times", "ok", f"statistics of {deployment.PAGE_SIZE} automations at most in {duration_ms:.1f} ms"
    )


def _check_retention(_: Settings) -> Check:
    state = deployment.fetch_retention_state()
    if state["too_old"]:
        return Check("retention", "problem", "runs are older than 90 days", "see that the scheduler runs")
    if not state["days_ahead"]:
        return Check("retention", "problem", "no partition is there for tomorrow", "see that the scheduler runs")
    age_seconds = state["cleaned_seconds_ago"]
    if age_seconds is None or age_seconds > MAX_RETENTION_AGE_SECONDS:
        detail = "never done" if age_seconds is None else f"last done {age_seconds / 3600:.1f} h ago"
        return Check("retention", "problem", detail, "see that the scheduler runs: `beckon doctor`")
    return Check("retention", "ok", f"last done {age_seconds / 60:.0f} min ago, {state['days_ahead']} days ahead")


#: By name, in the order in which they are shown.
DATABASE_CHECKS: dict[str, Callable[[Settings], Check]] = {
    "run records": _check_run_records,
    "volume": _check_volume,
    "log lines": lambda settings: check_tracking(settings, deployment.fetch_run_records()["runs"]),
    "errors": check_errors,
    "counters": _build_invariant_check("counters", "run_counters", "every automation's are archived plus rows"),
    "duplicates": _build_invariant_check("duplicates", "runs_are_apart", "none: a contact's runs are an hour apart"),
    "once each": _build_invariant_check("once each", "one_run", "no execution was counted twice"),
    "indexes": _check_indexes,
    "query times": _check_query_times,
    "retention": _check_retention,
}
