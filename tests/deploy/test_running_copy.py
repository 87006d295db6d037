"""A running copy under mixed work: metrics, pages and SQL agree, survive killed workers, and stay few."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections import Counter

import pytest

from tests.deploy.conftest import ObservedCopy
from tests.support import mixed_executions
from tests.support.collector import IS_INSTALLED
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

EXECUTIONS = 40
FINISHED = re.compile(r'^beckon_executions_finished_total\{status="(\w+)"\}$')
NUMBER = re.compile(r'data-count="(\w+)"[^>]*><span>[^<]*</span><strong>([\d,]+)</strong>')


@pytest.fixture(scope="module")
def worked(copy: ObservedCopy) -> ObservedCopy:
    """The copy after mixed executions of its demo workspace, all at rest."""
    mixed_executions.lose_answers(copy.app)
    demo = mixed_executions.find_demo(copy.app)
    demo.publish()
    demo.trigger(EXECUTIONS)
    copy.wait_until_idle()
    waiting = demo.call("GET", "/api/executions?status=waiting&limit=1")["executions"]
    demo.call("POST", f"/api/executions/{waiting[0]['id']}/cancel", {})
    return copy


def read_summary(copy: ObservedCopy) -> dict[str, int]:
    """The numbers of the summary bar, as a signed-in person sees them."""
    access = copy.app.access()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    page = opener.open(f"{access['url']}/sign-in", timeout=10).read().decode()
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    fields = {"email": access["email"], "password": access["password"], "csrf_token": token[1] if token else ""}
    opener.open(f"{access['url']}/sign-in", urllib.parse.urlencode(fields).encode(), timeout=10).close()
    text = opener.open(f"{access['url']}/summary", timeout=10).read().decode()
    return {name: int(number.replace(",", "")) for name, number in NUMBER.findall(text)}


def count_by_status(copy: ObservedCopy) -> Counter[str]:
    """The executions of all workspaces by status, without tests."""
    return Counter(dict(copy.query("select status, count(*) from executions where not test group by status")))  # type: ignore[arg-type]


def test_metrics_the_summary_bar_and_sql_give_the_same_numbers(worked: ObservedCopy) -> None:
    rows = count_by_status(worked)
    ((unknown,),) = worked.query(
        "select count(*) from executions where not test and status = 'failed' and error_class = 'unknown_outcome'"
    )
    samples = worked.read_samples()
    summary = read_summary(worked)

    finished = {match[1]: number for name, number in samples.items() if (match := FINISHED.match(name))}
    assert finished == {status: rows[status] for status in finished}
    assert finished["cancelled"] == 1
    assert sum(n for name, n in samples.items() if name.startswith("beckon_executions_started_total")) == EXECUTIONS
    assert sum(rows.values()) == EXECUTIONS
    assert samples['beckon_triggers_total{result="accepted",source="api"}'] == EXECUTIONS + 1

    assert unknown == EXECUTIONS // 10
    assert samples['beckon_unknown_outcomes{state="undecided"}'] == unknown == summary["unknown"]
    assert summary["failed"] == rows["failed"] - unknown == EXECUTIONS // 10
    assert summary["waiting"] == rows["waiting"] == samples['beckon_executions{status="waiting"}']
    assert summary["skipped_today"] == rows["skipped"]
    assert summary["sent_today"] == rows["succeeded"] == sum_sends(samples, "sent")
    assert sum_sends(samples, "unknown") == unknown


def sum_sends(samples: dict[str, float], outcome: str) -> float:
    return sum(number for name, number in samples.items()
               if name.startswith("beckon_sends_total") and f'outcome="{outcome}"' in name)  # fmt: skip


def test_steps_and_messages_are_counted_as_they_are_stored(worked: ObservedCopy) -> None:
    samples = worked.read_samples()
    steps = worked.query("select action, count(*) from steps s join executions e on e.id = s.execution_id "
                         "where s.status = 'succeeded' group by action")  # fmt: skip
    counted = {action: samples[f'beckon_actions_total{{status="succeeded",type="{action}"}}'] for action, _ in steps}
    assert counted == dict(steps)
    ((sent,),) = worked.query("select count(*) from messages where status = 'sent' and not test")
    assert sum_sends(samples, "sent") == sent


def test_killed_workers_keep_their_counts_and_add_no_series(worked: ObservedCopy) -> None:
    before = worked.read_samples()
    files = sorted(path.name for path in (worked.app.home / "metrics").iterdir())
    status = worked.app.status()["programs"]
    victims = {program["name"]: program["pid"] for program in status if program["name"] in ("engine-0", "tracking-0")}
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)

    def restarted() -> bool:
        samples = worked.read_samples()
        return all(samples[f'beckon_process_starts_total{{program="{name}"}}'] == 2 for name in ("engine", "tracking"))

    eventually(restarted, timeout=30, interval=0.2)
    demo = mixed_executions.find_demo(worked.app)
    demo.trigger(10)
    worked.wait_until_idle()
    after = worked.read_samples()
    fallen = [name for name, number in before.items() if "_total" in name and after[name] < number]
    assert not fallen
    assert not [name for name in after if "pid=" in name]
    assert sorted(path.name for path in (worked.app.home / "metrics").iterdir()) == files
    added = [name for name in set(after) - set(before) if not name.startswith("beckon_http_requests_total")]
    assert not added
    started = sum(n for name, n in after.items() if name.startswith("beckon_executions_started_total"))
    assert started == sum(count_by_status(worked).values())
    assert (
        sum_sends(after, "sent")
        == worked.query("select count(*) from messages where status = 'sent' and not test")[0][0]
    )


@pytest.mark.skipif(not IS_INSTALLED, reason="the extra `otel` is not installed")
def test_a_trace_of_a_request_has_spans_of_the_dashboard_and_the_workers(worked: ObservedCopy) -> None:
    ids = dict(worked.query("select replace(trigger_id::text, '-', ''), id::text from executions "
                            "where status = 'succeeded'"))  # fmt: skip
    eventually(lambda: len({span.trace_id for span in worked.collector.find("execution")} & set(ids)) == len(ids))
    for trace_id in ids:
        spans = [span for span in worked.collector.spans if span.trace_id == trace_id]
        (root,) = [span for span in spans if not span.parent_id]
        assert (root.name, root.instance) in {("trigger event", f"dashboard-{slot}") for slot in range(2)}
        assert {span.name.split()[0] for span in spans} >= {"execution", "step", "sending"}
        assert "engine-0" in {span.instance for span in spans}
        assert {span.parent_id for span in spans} - {""} <= {span.span_id for span in spans}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is absent")
def test_promtool_finds_nothing_to_complain_about(worked: ObservedCopy) -> None:
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=worked.read_exposition(), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


#: The programs' own logs; the servers and supervisord write theirs in their formats.
OWN_LOGS = ("engine-0", "tracking-0", "scheduler", "dashboard", "sandbox")


def read_logs(copy: ObservedCopy) -> list[dict[str, object]]:
    """Every line of the programs' logs."""
    lines = []
    for name in OWN_LOGS:
        for line in (copy.app.home / "logs" / f"{name}.log").read_text(encoding="utf-8").splitlines():
            lines.append(json.loads(line))
    return lines


def test_every_line_of_every_log_is_json_with_a_time_a_level_and_its_program(worked: ObservedCopy) -> None:
    lines = read_logs(worked)
    assert len(lines) > EXECUTIONS
    incomplete = [line for line in lines if not {"timestamp", "level", "program", "event"} <= set(line)]
    assert not incomplete
    # Each of the programs has written some.
    assert len({line["program"] for line in lines}) == len(OWN_LOGS)


def test_the_web_server_s_own_warnings_are_json_too(copy: ObservedCopy) -> None:
    with socket.create_connection(("127.0.0.1", copy.app.port), timeout=10) as connection:
        connection.sendall(b"THIS IS NOT HTTP\r\n\r\n")
        connection.recv(1000)
    log = copy.app.home / "logs" / "dashboard.log"
    eventually(lambda: "Invalid request" in log.read_text(encoding="utf-8"))
    (line,) = [line for line in read_logs(copy) if "Invalid request" in str(line["event"])]
    assert (line["level"], line["program"], line["logger"]) == ("warning", "dashboard", "gunicorn.error")


def test_lines_about_executions_and_requests_bear_their_ids(worked: ObservedCopy) -> None:
    rows = worked.query("select id::text, trigger_id::text, workspace_id::text, status from executions")
    ids = {execution_id: (trigger_id, workspace_id) for execution_id, trigger_id, workspace_id, _ in rows}
    lines = read_logs(worked)
    about_executions = [line for line in lines if "execution_id" in line]
    assert {line["execution_id"] for line in about_executions} <= set(ids)
    failed = {line["execution_id"]: line for line in lines if line["event"] == "step failed"}
    assert set(failed) >= {execution_id for execution_id, *_, status in rows if status == "failed"}
    for execution_id, line in failed.items():
        assert (line["trigger_id"], line["workspace_id"]) == ids[str(execution_id)]

    requests = [line for line in lines if line["event"] == "request"]
    assert requests
    assert all(line["request_id"] for line in requests)
    triggers = [line for line in requests if line["route"] == "/api/triggers"]
    assert {line["trigger_id"] for line in triggers} <= {trigger_id for trigger_id, _ in ids.values()}
    assert all(line["workspace_id"] for line in triggers)


def test_no_log_has_a_secret(worked: ObservedCopy) -> None:
    access, kept = worked.app.access(), json.loads((worked.app.home / "kept.json").read_text(encoding="utf-8"))
    secrets = {str(access[name]) for name in ("apiKey", "password", "siteKey")} | set(list_texts(kept))
    assert len(secrets) > 5
    for file in (worked.app.home / "logs").iterdir():
        text = file.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if len(secret) >= 8 and secret in text], file.name


def list_texts(value: object) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in list_texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in list_texts(inner)]
    return [value] if isinstance(value, str) else []
