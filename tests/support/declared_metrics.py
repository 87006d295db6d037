"""The declared metrics, and the metrics that a PromQL expression uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

import metrics
from dashboard.gauges import GAUGES

_NAME = re.compile(r"beckon_[a-z0-9_]+")
_SELECTOR = re.compile(r"(beckon_[a-z0-9_]+)\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"(?:by|on|ignoring|without)\s*\(([^)]*)\)")
#: Labels that Prometheus adds to each series, and that of a histogram's buckets.
COMMON_LABELS = {"instance", "job", "le"}


@dataclass(frozen=True)
class DeclaredMetric:
    """A metric as its declaration says."""

    name: str
    kind: str
    labels: tuple[str, ...]
    documentation: str


def list_declared() -> dict[str, DeclaredMetric]:
    """Every declared metric by the name that its series have, without the suffixes of histograms."""
    declared = [
        DeclaredMetric(f"beckon_{name}", "gauge", labels, documentation)
        for name, (labels, documentation) in GAUGES.items()
    ]
    for collector in metrics.REGISTRY._collector_to_names:
        (family,) = collector.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        declared.append(DeclaredMetric(name, family.type, collector._labelnames, family.documentation))
    return {metric.name: metric for metric in declared}


def find_undeclared(expression: str) -> list[str]:
    """The metrics and labels of an expression that no declaration has."""
    declared = list_declared()
    unknown = []
    used_labels: set[str] = set()
    for name in _NAME.findall(expression):
        metric = declared.get(name) or declared.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if metric is None:
            unknown.append(name)
        else:
            used_labels.update(metric.labels)
    for name, matchers in _SELECTOR.findall(expression):
        metric = declared.get(name) or declared.get(re.sub(r"_(bucket|sum|count)$", "", name))
        labels = set(metric.labels) if metric else set()
        unknown += [f"{name}.{label}" for label in _MATCHER.findall(matchers) if label not in labels | COMMON_LABELS]
    for group in _GROUPING.findall(expression):
        labels = {label.strip() for label in group.split(",") if label.strip()}
        unknown += sorted(labels - used_labels - COMMON_LABELS)
    return unknown
