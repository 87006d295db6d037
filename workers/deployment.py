"""`beckon doctor --deployment`: the checks of run tracking that docs/deployment.md lists.

Each check is one function that returns a Check and never raises, as in `workers/diagnostics.py`.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import psycopg2

from models import database, session, user
from models.checks import deployment, verification
from rules.json_text import load_json
from settings import Settings
from tasks.operators import switches
from workers import generated_secrets
from workers.deployment_log import check_errors, check_tracking
from workers.diagnostics import START_REMEDY, Check, report_outage

#: A statistic or a response that takes this long is too slow (the checklist's second week).
SLOW_MS = 200.0
#: Retention runs every hour; a last success longer ago than this is a problem.
MAX_RETENTION_AGE_SECONDS = 2.5 * 3600
_MIGRATE = "run `beckon migrate`"
_BACKFILL = "run `beckon runs backfill`; if the problem returns, report it"


def run_checks(settings: Settings) -> Iterator[Check]:
    """Run every check of the list; yields each result as soon as it is known."""
    yield _check_api(settings)
    database.open_pool(settings.database_service_url, "beckon_service", 1)
    try:
        yield _check_page(settings)
        for name in DATABASE_CHECKS:
            yield run_check(name, settings)
    finally:
        database.db.close_all()


def run_check(name: str, settings: Settings) -> Check:
    """Run one of the checks that query PostgreSQL."""
    try:
        return DATABASE_CHECKS[name](settings)
    except (peewee.PeeweeException, psycopg2.Error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Check(name, "problem", f"cannot be read: {reason}", f"{_MIGRATE}, and check PostgreSQL")


def _check_api(settings: Settings) -> Check:
    access = generated_secrets.read(settings.home / "access.json")
    if not access.get("apiKey"):
        return Check("api", "problem", "access.json has no API key", START_REMEDY)
    address = f"{settings.local_url}/api/workspaces/{access['workspaceId']}/automations"
    took_ms = []
    try:
        # The first response of a process that has just started is not representative.
        for _ in range(3):
            began = time.perf_counter()
            automations = load_json(_fetch(address, {"Authorization": f"Bearer {access['apiKey']}"}))["automations"]
            took_ms.append((time.perf_counter() - began) * 1000)
    except (OSError, ValueError, KeyError) as error:
        return report_outage(settings, "api", "dashboard", f"{address} does not answer: {error}")
    return check_api_response(settings, automations, min(took_ms))


def check_api_response(settings: Settings, automations: list[dict[str, Any]], took_ms: float) -> Check:
    """Check that the API's list of automations follows the contract and is fast."""
    for automation in automations:
        right = {"totalRuns": isinstance(automation.get("totalRuns"), int), "lastRunAt": "lastRunAt" in automation}
        wrong = [name for name, is_right in right.items() if not is_right]
        stats = automation.get("stats")
        if wrong:
            return Check(
                "api", "problem", f"automation {automation.get('id')} has no valid {', '.join(wrong)}", _MIGRATE
            )
        if stats is None:
            return _report_missing_stats(settings)
        if not all(isinstance(stats.get(name), int) for name in ("totalRuns", "last24Hours")):
            return Check(
                "api", "problem", f"automation {automation.get('id')} has the stats {stats}", "restart the dashboard"
            )
    if took_ms >= SLOW_MS:
        return Check("api", "problem", f"took {took_ms:.0f} ms", "check PostgreSQL: it should take under 200 ms")
    return Check("api", "ok", f"{len(automations)} automations with their stats in {took_ms:.0f} ms")


def _check_page(settings: Settings) -> Check:
    """Check the cards as the user in access.json sees them, in a session that ends with this check."""
    try:
        member, _ = user.find_sign_in(generated_secrets.read(settings.home / "access.json").get("email") or "")
        if member is None:
            return Check(
                "page", "note", "access.json names no user who could open it", "open /automations in the browser"
            )
        token = session.start(member)
        active_session = session.find(token)
        try:
            return check_page_html(_fetch(f"{settings.local_url}/automations", {"Cookie": f"{session.COOKIE}={token}"}))
        finally:
            if active_session is not None:
                session.end(active_session, token)
    except OSError as error:
        return report_outage(
            settings, "page", "dashboard", f"{settings.local_url}/automations does not answer: {error}"
        )
    except (peewee.PeeweeException, psycopg2.Error) as error:
        program = "postgres" if settings.embedded_database else ""
        return report_outage(settings, "page", program, f"no user can sign in: {error}".splitlines()[0])


def check_page_html(html: str) -> Check:
    """Check that every automation's card shows its runs and its chart of the last day."""
    cards = html.count('<article class="panel card')
    with_runs = min(html.count("<span>Runs</span>"), html.count('<svg class="spark"'))
    if cards != with_runs:
        detail = f"{with_runs} of {cards} cards show their runs"
        return Check("page", "problem", detail, "restart the dashboard: it may run an older version")
    return Check("page", "ok", f"{cards} cards with their runs, the last day and the last run")


def _fetch(address: str, headers: dict[str, str]) -> str:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as response:
        return str(response.read().decode())


def _report_missing_stats(settings: Settings) -> Check:
    if switches.read_forced(settings).get("stats_in_api") is False:
        return Check("api", "note", "STATS_IN_API is 0, so responses have no stats", "unset it and restart")
    return Check(
        "api", "note", "the switch statsInApi is off, so responses have no stats", "beckon switch statsInApi on"
    )


def _note_tracking_off(name: str, settings: Settings) -> Check | None:
    """Return a note that the check does not apply while run counting is off; None while runs are counted."""
    if switches.read_forced(settings).get("run_tracking") is not False:
        return None
    return Check(name, "note", "RUN_TRACKING is 0, so no run is counted", "unset it and restart")


def _check_run_records(settings: Settings) -> Check:
    if (note := _note_tracking_off("run records", settings)) is not None:
        return note
    records = deployment.fetch_run_records()
    if records.late:
        detail = f"{records.late} runs could not be counted, the first {records.late_seconds:.0f} s ago"
        remedy = "search the logs for [TRACKING], and check the grants of beckon_service on automation_runs"
        return Check("run records", "problem", detail, remedy)
    megabytes = records.bytes / 1_000_000
    return Check("run records", "ok", f"{records.runs} in the last 24 hours, {megabytes:,.0f} MB in total")


def _check_volume(settings: Settings) -> Check:
    if (note := _note_tracking_off("volume", settings)) is not None:
        return note
    counts = deployment.fetch_volume()
    if counts["without"]:
        detail = f"{counts['without']} of {counts['executions']} executions of the last hour lack their run"
        return Check(
            "volume", "problem", detail, "if RUN_TRACKING was 0 meanwhile, check again in an hour; otherwise report it"
        )
    return Check("volume", "ok", f"{counts['executions']} counted executions in the last hour, each has its run")


def _build_invariant_check(name: str, invariant: str, ok_detail: str) -> Callable[[Settings], Check]:
    def check(_: Settings) -> Check:
        (finding,) = verification.verify(only=[invariant])
        if finding.holds:
            return Check(name, "ok", ok_detail)
        detail = f"{finding.violations} violations, such as {finding.examples[0]}: {finding.promise}"
        return Check(name, "problem", detail, _BACKFILL)

    return check


def _check_indexes(_: Settings) -> Check:
    missing = deployment.find_missing_indexes()
    if missing:
        remedy = "create it as in migrations/*_run_indexes.up.sql"
        return Check("indexes", "problem", f"missing or not valid: {', '.join(missing)}", remedy)
    full_scans = deployment.find_scanned_tables()
    if full_scans:
        return Check("indexes", "problem", f"not used: sequential scan of {', '.join(full_scans)}", "run ANALYZE on it")
    return Check("indexes", "ok", f"{', '.join(deployment.INDEXES)}: present, and the plan of the statistics uses them")


def _check_query_times(_: Settings) -> Check:
    deployment.measure_statistics_ms()
    duration_ms = deployment.measure_statistics_ms()
    if duration_ms >= SLOW_MS:
        return Check(
            "query times", "problem", f"statistics took {duration_ms:.0f} ms", "run VACUUM ANALYZE automation_runs"
        )
    return Check(
        "query times", "ok", f"statistics of at most {deployment.PAGE_SIZE} automations in {duration_ms:.1f} ms"
    )


def _check_retention(_: Settings) -> Check:
    state = deployment.fetch_retention_state()
    if state.too_old:
        return Check("retention", "problem", "runs are older than 90 days", "check that the scheduler runs")
    if not state.days_ahead:
        return Check("retention", "problem", "there is no partition for tomorrow", "check that the scheduler runs")
    if not state.months_ahead:
        return Check("retention", "problem", "there is no partition for next month", "check that the scheduler runs")
    age_seconds = state.cleaned_seconds_ago
    if age_seconds is None or age_seconds > MAX_RETENTION_AGE_SECONDS:
        detail = "never run" if age_seconds is None else f"last run {age_seconds / 3600:.1f} h ago"
        return Check("retention", "problem", detail, "check that the scheduler runs: `beckon doctor`")
    return Check(
        "retention", "ok", f"last run {age_seconds / 60:.0f} min ago, partitions for {state.days_ahead} days ahead"
    )


#: The checks by name, in the order of the output.
DATABASE_CHECKS: dict[str, Callable[[Settings], Check]] = {
    "run records": _check_run_records,
    "volume": _check_volume,
    "log lines": lambda settings: check_tracking(settings, deployment.fetch_run_records().runs),
    "errors": check_errors,
    "counters": _build_invariant_check(
        "counters", "run_counters_add_up", "every automation's counter is its archived runs plus its rows"
    ),
    "duplicates": _build_invariant_check(
        "duplicates", "runs_are_apart", "none: runs of a contact are at least an hour apart"
    ),
    "once each": _build_invariant_check("once each", "runs_are_unique", "no execution was counted twice"),
    "indexes": _check_indexes,
    "query times": _check_query_times,
    "retention": _check_retention,
}
