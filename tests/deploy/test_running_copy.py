"""A running copy under mixed work: metrics, pages and SQL agree, survive killed workers, and stay few."""

from __future__ import annotations

import http.cookiejar
import os
import re
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from collections import Counter

import pytest

from tests.deploy.conftest import ObservedCopy
from tests.support import mixed_executions
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
    status = worked.app.status()["programs"]
    victims = {
        program["name"]: program["pid"] for program in status if program["name"] in ("executions-0", "sending-0")
    }
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)

    def restarted() -> bool:
        samples = worked.read_samples()
        return all(
            samples[f'beckon_process_starts_total{{program="{name}"}}'] == 2 for name in ("executions", "sending")
        )

    eventually(restarted, timeout=30, interval=0.2)
    demo = mixed_executions.find_demo(worked.app)
    demo.trigger(10)
    worked.wait_until_idle()
    after = worked.read_samples()
    fallen = [name for name, number in before.items() if "_total" in name and after[name] < number]
    assert not fallen
    assert not [name for name in after if "pid=" in name]
    added = [name for name in set(after) - set(before) if not name.startswith("beckon_http_requests_total")]
    assert not added
    started = sum(n for name, n in after.items() if name.startswith("beckon_executions_started_total"))
    assert started == sum(count_by_status(worked).values())
    assert (
        sum_sends(after, "sent")
        == worked.query("select count(*) from messages where status = 'sent' and not test")[0][0]
    )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is absent")
def test_promtool_finds_nothing_to_complain_about(worked: ObservedCopy) -> None:
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=worked.read_exposition(), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
