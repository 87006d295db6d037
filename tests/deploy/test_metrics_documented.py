"""docs/metrics.md has every metric as the code declares it, and no other."""

from __future__ import annotations

import re

import settings
from tests.support.declared_metrics import list_declared

ROW = re.compile(r"^\| `(beckon_\w+)` \| (.*?) \| (.*) \|$", re.MULTILINE)


def test_the_documented_metrics_equal_the_declared_ones() -> None:
    text = (settings.ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = {name: (labels.strip(), documentation) for name, labels, documentation in ROW.findall(text)}
    declared = {metric.name: (", ".join(metric.labels), metric.documentation) for metric in list_declared().values()}
    assert documented == declared


def test_names_end_with_the_unit_of_their_kind() -> None:
    for metric in list_declared().values():
        assert metric.name.endswith("_total") is (metric.kind == "counter"), metric.name
        assert "_ms" not in metric.name
        assert metric.documentation.endswith("."), metric.name
