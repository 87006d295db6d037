"""Counts mean the same everywhere: every number of a page names its source, and equals the list behind its link.

The workspace is seeded so that all counts differ. A number is what stands alone in one of `FIGURES` and is an integer.
It is a count where it, or an element around it, has `data-count` and a link; `data-badge` marks those of the
navigation, and `data-measure` what no list shows alone: parts of a chart's table, measurements, audited values. A
number without a source fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

import clock
from models.database import acting_as
from models.queries import execute, fetch_value
from models.reports.counts import COUNTS
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.recorded_runs import record_runs
from tests.dashboard.test_overview import hold
from tests.dashboard.test_pages import Browser, sign_in_as
from tests.dashboard.test_pauses import record_refusal
from tests.support.tracking import record_as_service

FIGURES = {"b", "strong", "td", "dd"}
SOURCES = {"data-count", "data-badge", "data-measure"}
VOID = {"meta", "link", "input", "br", "img", "path", "rect", "line", "circle", "use", "polyline", "hr"}
#: The pages whose numbers are all counts.
PAGES = (
    "/overview?window=hour", "/overview?window=day", "/overview?window=week", "/automations", "/executions",
    "/failures", "/failures/retries", "/contacts", "/queues", "/health", "/analytics", "/executions/pending", "/audit",
    "/settings", "/executions/playbooks", "/automations/health", "/automations/monitor", "/automations/analytics",
)  # fmt: skip


@dataclass
class Element:
    """An element of a page, with the text inside it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Numbers(HTMLParser):
    """Reads a page's counts, and its figures that name no source."""

    counts: list[Element] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.stack: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.stack.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        for element in self.stack:
            element.text += f"{data} "

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        element = self.stack.pop()
        assert element.tag == tag, (element, tag)
        if {"data-count", "data-badge"} & set(element.attributes):
            self.counts.append(element)
        elif tag in FIGURES and re.fullmatch(r"\s*[\d,]+\s*", element.text) and not self._has_source(element):
            self.unnamed.append(f"<{tag}>{element.text.strip()}")

    def _has_source(self, element: Element) -> bool:
        named = any(SOURCES & set(outer.attributes) for outer in (*self.stack, element))
        # A number around a marked link is that link's.
        return named or any(count.text.strip() == element.text.strip() for count in self.counts)


def read_numbers(browser: Browser, path: str) -> Numbers:
    response = browser.get(path)
    assert response.status_code == 200, path
    numbers = Numbers()
    numbers.feed(response.text)
    return numbers


def read_count(element: Element) -> int:
    match = re.search(r"[\d,]+", re.sub(r"retry \d of \d", "", element.text))
    assert match is not None, element
    return int(match[0].replace(",", ""))


def list_rows(browser: Browser, path: str, pattern: str) -> Iterator[str]:
    """The rows of a list that match, on all of its pages."""
    following: str | None = path
    while following:
        page = browser.get(following).text
        yield from re.findall(pattern, page)
        older = re.search(r'<a class="button" href="([^"]+)">Older</a>', page)
        following = older[1].replace("&amp;", "&") if older else None


def count_executions(browser: Browser, path: str) -> int:
    return len(list(list_rows(browser, path, r'<li id="[et]-[0-9a-f-]{36}"')))


def count_automations(browser: Browser, path: str) -> int:
    return len(list(list_rows(browser, path, r'<article class="panel card')))


def count_runs(browser: Browser, path: str) -> int:
    """The runs in the list of an automation's page, or those of its chart by hour."""
    if "by=hour" not in path:
        return len(list(list_rows(browser, path.partition("#")[0], r'<li><(?:span|a) class="run-row"')))
    match = re.search(r"([\d,]+) in 24 hours", browser.get(path).text)
    assert match is not None
    return int(match[1])


def count_failures(browser: Browser, path: str) -> int:
    """The executions of all groups, and those of unknown outcome."""
    return sum(
        int(count) for count in re.findall(r'<a class="(?:number|badge)"[^>]*>(\d+)</a>', browser.get(path).text)
    )


#: How the list behind a count is counted: by the path of its link.
COUNTERS: dict[str, Callable[[Browser, str], int]] = {
    "/executions": count_executions,
    "/automations": count_automations,
    "/failures": count_failures,
}


def count_behind(browser: Browser, element: Element, here: str) -> int:
    href = element.attributes["href"]
    path = (here if href.startswith("#") else "") + href
    if element.attributes.get("data-count", "").startswith("runs"):
        return count_runs(browser, path)
    return COUNTERS["/" + path.split("?")[0].split("#")[0].split("/")[1]](browser, path)


def seed(alice: Producer) -> dict[str, Any]:
    """Executions in every state, with another number of each; tests beside them; and two automations."""
    automation, other = alice.create(name="Welcome"), alice.create(name="Farewell", enabled=False)
    now, create = clock.now(), example_executions.create_execution
    soon, late = now + timedelta(hours=1), now - timedelta(minutes=9)
    waiting = {"status": "waiting", "stage": "sent", "waiting_for": "time", "due_at": soon}
    for row, times in (
        ({"status": "running", "stage": "checking", "lease_owner": "w", "lease_until": soon}, 2),
        ({"status": "pending", "stage": "queued", "due_at": late}, 3),
        ({"status": "pending", "stage": "queued"}, 1),
        (waiting, 5),
        ({"status": "waiting", "stage": "ready_to_send", "waiting_for": "review"}, 6),
        ({"status": "skipped", "stage": "skipped", "skipped_rule": "tags", "created_at": now}, 12),
        ({"status": "succeeded", "stage": "completed"}, 13),
        ({"status": "pending", "stage": "queued", "test": True}, 20),
        ({"status": "failed", "stage": "failed", "error_class": "network", "test": True}, 21),
    ):
        for _ in range(times):
            create(alice, automation, **row)
    for minutes in (*range(1, 9), 100, 200, 300, 3_000):
        example_executions.create_sent(alice, other, now - timedelta(minutes=minutes))
    for number in range(10):
        example_executions.create_failed(alice, automation, finished_at=now - timedelta(minutes=1 + 90 * number))
    for _ in range(7):
        example_executions.create_unknown(alice, automation)
    record_refusal(alice)
    for _ in range(9):
        hold(alice, automation)
    record_runs(alice, automation["id"], *[now - timedelta(minutes=minutes) for minutes in range(1, 15)])
    record_runs(alice, automation["id"], *[now - timedelta(days=2)] * 4)
    set_counters(alice)
    track_playbook(alice)
    set_noon(alice)
    return automation


def track_playbook(alice: Producer) -> None:
    """Record executions of a playbook, with another number of each result."""
    steps = [{"id": "hide", "action": "hide", "with": {"selector": ".old"}}]
    playbook = alice.create(name="Offer", type="playbook", definition={"trigger": {"type": "page"}, "steps": steps})
    for status, times in (("success", 15), ("error", 3), ("timeout", 8)):
        body = {"executions": [{"workflowId": playbook["id"], "status": status}] * times}
        assert alice.post("/api/track-executions", body).json["accepted"] == times
    assert record_as_service() == 26


def set_noon(alice: Producer) -> None:
    """Set the workspace's zone so that it is about noon: today has begun some hours ago."""
    with acting_as(alice.workspace_id):
        execute("update workspaces set timezone = %s", (f"Etc/GMT{clock.now().hour - 12:+d}",))


def set_counters(alice: Producer) -> None:
    """Count the finished executions as the workers do."""
    with acting_as(alice.workspace_id):
        for column, condition in (
            ("executions", "finished_at is not null"),
            *((status, f"status = '{status}'") for status in ("succeeded", "failed", "skipped")),
        ):
            execute(
                f"update automations a set {column} = (select count(*) from executions e "
                f"where e.automation_id = a.id and not e.test and {condition})"
            )


def list_failed(alice: Producer) -> list[str]:
    """The pages of the first failed execution, and of the last."""
    query = "select id from executions where error_class is not null order by id {} limit 1"
    with acting_as(alice.workspace_id):
        return [f"/executions/{fetch_value(query.format(direction))}" for direction in ("asc", "desc")]


@pytest.fixture
def bob(alice: Producer, client: Browser) -> Browser:
    """Bob's browser; he owns Alice's workspace."""
    return sign_in_as(client, alice, "owner")


def test_every_number_equals_the_list_behind_it(bob: Browser, alice: Producer) -> None:
    automation = seed(alice)
    names: dict[str, set[int]] = {}
    behind_paths: dict[str, int] = {}
    wrong = []
    own = f"/automations/{automation['id']}"
    (playbook,) = alice.get(f"{alice.automations}?type=playbook").json["automations"]
    for page in (*PAGES, f"/automations/{playbook['id']}", own, f"{own}/monitor", *list_failed(alice)):
        numbers = read_numbers(bob, page)
        assert numbers.unnamed == [], page
        for element in numbers.counts:
            if "data-badge" in element.attributes:
                continue
            number, href = read_count(element), element.attributes["href"]
            if href not in behind_paths:
                behind_paths[href] = count_behind(bob, element, page)
            names.setdefault(element.attributes["data-count"], set()).add(number)
            if number != behind_paths[href]:
                wrong.append((page, href, number, behind_paths[href]))
    assert wrong == []
    assert set(COUNTS) <= set(names), set(COUNTS) - set(names)
    # The counts of the summary bar differ, so that none can be mistaken for another.
    bar = {element.attributes["data-count"]: read_count(element) for element in read_numbers(bob, "/summary").counts}
    assert len(set(bar.values())) == len(bar), bar


def test_the_badge_of_failures_is_what_its_page_counts(bob: Browser, alice: Producer) -> None:
    seed(alice)
    page = bob.get("/failures").text
    badges = re.findall(r'data-badge="failures"[^>]*>(\d+)', page)
    decisions = re.findall(r"(\d+)(?: of unknown outcome)? needs? a decision</a>", page)
    assert len(decisions) == 2
    assert badges == [str(sum(map(int, decisions)))] * 2
