"""The dashboard for Grafana uses declared metrics, and has what Grafana needs to import it."""

from __future__ import annotations

import json
from typing import Any

import pytest

import settings
from tests.support.declared_metrics import find_undeclared

DASHBOARD: dict[str, Any] = json.loads(
    (settings.ROOT / "deploy" / "grafana" / "beckon.json").read_text(encoding="utf-8")
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def list_queries() -> list[str]:
    """Every expression of the dashboard, with values for Grafana's variables."""
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [expression.replace("$__rate_interval", "1m").replace("$instance", ".*") for expression in expressions]


@pytest.mark.parametrize("expression", list_queries())
def test_a_query_uses_only_declared_metrics_and_labels(expression: str) -> None:
    assert not find_undeclared(expression)
    assert "$" not in expression


def test_panels_have_their_own_ids_places_and_the_chosen_data_source() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}) == len(
        DASHBOARD["panels"]
    )
    for panel in PANELS:
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_the_variables_of_the_queries_are_declared() -> None:
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}


@pytest.mark.parametrize(
    "metric",
    [
        "beckon_transfers_total",
        "beckon_breakers_opened_total",
        "beckon_parses_total",
        "beckon_parsers_busy",
        "beckon_default_partition_rows",
    ],
)
def test_what_tells_of_a_bottleneck_has_a_panel(metric: str) -> None:
    assert [expression for expression in list_queries() if metric in expression]
