"""Every alert uses declared metrics, fires and stays quiet in promtool's cases, and has a runbook and a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

import settings
from tasks.periodic_jobs import PERIODIC_JOBS
from tests.support.declared_metrics import find_undeclared, list_declared

DIRECTORY = settings.ROOT / "deploy" / "prometheus"
RUNBOOKS = settings.ROOT / "docs" / "runbooks.md"
RULES = yaml.safe_load((DIRECTORY / "alerts.yml").read_text(encoding="utf-8"))
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
CASES = yaml.safe_load((DIRECTORY / "alerts.test.yml").read_text(encoding="utf-8"))["tests"]
LABELS = re.compile(r"\$labels\.(\w+)")

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is absent")


def read_sections() -> dict[str, str]:
    """The text of each section of the runbooks, by its heading."""
    _, *sections = re.split(r"^## ", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading: text for heading, _, text in (section.partition("\n") for section in sections)}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_uses_only_declared_metrics_and_labels(alert: str) -> None:
    assert not find_undeclared(ALERTS[alert]["expr"])


def test_an_undeclared_name_in_an_expression_is_found() -> None:
    assert find_undeclared('sum by (planet) (beckon_sends_total{mood="sad"}) > beckon_ghosts') == [
        "beckon_ghosts", "beckon_sends_total.mood", "planet",
    ]  # fmt: skip


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_severity_a_summary_a_page_and_its_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "warn")
    assert set(rule["annotations"]) == {"summary", "dashboard", "runbook_url"}
    assert rule["annotations"]["dashboard"].startswith("{{ $externalLabels.beckon_url }}/")
    assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.beckon_docs }}}}/runbooks.md#{alert.lower()}"
    named = {label for metric in list_declared().values() for label in metric.labels} | {"instance"}
    assert set(LABELS.findall(rule["annotations"]["summary"])) <= named


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert list(read_sections()) == list(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_says_what_it_means_what_to_see_what_to_do_and_how_it_ends(alert: str) -> None:
    section = read_sections()[alert]
    assert re.findall(r"^- \*\*(.+?)\*\*:", section, re.MULTILINE) == ["Means", "Look first", "Do", "Ends"]
    path = ALERTS[alert]["annotations"]["dashboard"].split("}}", 1)[1]
    assert f"- **Look first**: `{path}`" in section


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    names = [case["name"] for case in CASES]
    assert f"{alert} fires" in names
    assert [name for name in names if name.startswith(f"{alert} does not fire ")]


def test_a_case_that_fires_expects_its_alert_and_another_does_not() -> None:
    for case in CASES:
        alert, _, rest = case["name"].partition(" ")
        if alert in ALERTS:
            (test,) = case["promql_expr_test"]
            expected = str(test["exp_samples"])
            assert (f'alertname="{alert}"' in expected) is (rest == "fires"), case["name"]


def test_only_the_hourly_job_may_succeed_less_often_than_every_five_minutes() -> None:
    rare = {job.name for job in PERIODIC_JOBS if job.every_seconds > 300}
    assert set(re.findall(r'sweep="(\w+)"', ALERTS["SweepStale"]["expr"])) == rare


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [("test", "rules", "alerts.test.yml"), ("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml")],
    ids=" ".join,
)
def test_promtool_accepts_the_files(arguments: tuple[str, ...]) -> None:
    result = subprocess.run(["promtool", *arguments], cwd=DIRECTORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
