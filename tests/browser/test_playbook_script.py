"""The script of customers' pages in a real browser: the sections "How It Works", "Error Handling" and "Performance
Impact" of the source document, one test for each statement that concerns the browser."""

from __future__ import annotations

import uuid

import clock
from tests.support.customer_site import BODY, Site, make_playbook, replace_text
from tests.support.script_visits import DEBUG, PHONE_OPTIONS, OpenVisit

NEWSLETTER = {"utm": {"source": "newsletter"}}
UTM = "/pricing?utm_source=newsletter"
HIDE_BUY = {"action": "hide", "selector": ".buy"}


def test_when_a_workflow_trigger_matches_the_system_tracks_by_itself(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [
        make_playbook(replace_text(), trigger=NEWSLETTER),
        make_playbook(HIDE_BUY, name="Phones", trigger={"device": ["mobile"]}),
    ]
    visit = open_visit(UTM)
    visit.expect_hero("Welcome back")
    (body,) = visit.await_executions()
    assert (body["workflowId"], body["triggerName"]) == ("mobile-cta-optimization", "UTM Parameters")


def test_execution_start_time_is_tracked(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    before = int(clock.now().timestamp() * 1000)
    (body,) = open_visit().await_executions()
    execution_id = uuid.UUID(body["executionId"])
    assert execution_id.version == 7
    assert before - 1 <= execution_id.int >> 80 <= int(clock.now().timestamp() * 1000)


def test_each_action_executed_is_tracked(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), HIDE_BUY, {"action": "track_event", "name": "seen"})]
    (body,) = open_visit().await_executions()
    assert [(action["name"], action.get("selector")) for action in body["actions"]] == [
        ("Replace Text", ".hero"), ("Hide", ".buy"), ("Track Event", None),
    ]  # fmt: skip
    assert [action["config"] for action in body["actions"]] == [{"text": "Welcome back"}, {}, {"name": "seen"}]


def test_total_execution_time_is_tracked(site: Site, open_visit: OpenVisit) -> None:
    site.pages["/"] = BODY.replace('class="hero"', 'id="headline"')
    site.stand_in.playbooks = [make_playbook(replace_text(), HIDE_BUY)]
    visit = open_visit(None)
    visit.page.clock.install()
    page = visit.go()
    page.locator(".buy").wait_for(state="hidden")
    page.clock.run_for(2000)
    page.evaluate("headline.className = 'hero'; headline.append('')")
    page.clock.run_for(100)
    (body,) = visit.await_executions()
    # The total has the wait for the late element; an action's time is its own work.
    assert 2000 <= body["executionTimeMs"] < 10_000
    assert all(action["executionTimeMs"] < 2000 for action in body["actions"])


def test_success_or_failure_status_is_tracked(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [
        make_playbook(HIDE_BUY, name="Good"),
        make_playbook({"action": "hide", "selector": "..not a selector"}, HIDE_BUY, name="Bad"),
        make_playbook({"action": "hide", "selector": ".nowhere"}, HIDE_BUY, name="Late"),
    ]
    visit = open_visit(None)
    visit.page.clock.install()
    page = visit.go()
    page.locator(".buy").wait_for(state="hidden")
    page.clock.run_for(11_000)
    bodies = {body["workflowId"]: body for body in visit.await_executions(3)}
    assert {name: body["status"] for name, body in bodies.items()} == {
        "good": "success", "bad": "error", "late": "timeout",
    }  # fmt: skip
    assert "selector" in bodies["bad"]["actions"][0]["error"]
    assert bodies["late"]["actions"][0]["error"] == "no element matched the selector in time"
    assert "error" not in bodies["bad"]["actions"][1]


def test_page_url_and_device_context_are_tracked(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    desktop = open_visit("/pricing?token=secret&utm_source=newsletter#top")
    (body,) = desktop.await_executions()
    # Only UTM parameters stay of the query: the rest may name a person.
    assert body["pageUrl"] == site.address + "/pricing?utm_source=newsletter"
    assert body["deviceType"] == "desktop"
    phone = open_visit("/", **PHONE_OPTIONS)
    assert phone.await_executions(2)[1]["deviceType"] == "mobile"


def test_the_workflow_execution_record_has_the_fields_of_the_document(site: Site, open_visit: OpenVisit) -> None:
    event = {"event": "cart"}
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger=event)]
    visit = open_visit()
    visit.page.evaluate("workflowSystem.identify('user-456'); workflowSystem.emit('cart')")
    (body,) = visit.await_executions()
    assert body.keys() == {
        "executionId", "workflowId", "userId", "status", "executionTimeMs", "pageUrl", "sessionId", "deviceType",
        "triggerName", "actions",
    }  # fmt: skip
    assert (body["userId"], body["status"], body["triggerName"]) == ("user-456", "success", "Custom Event")
    assert isinstance(body["executionTimeMs"], int)
    assert uuid.UUID(body["sessionId"])


def test_tracking_failures_do_not_break_workflow_execution(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text()), make_playbook(HIDE_BUY, name="Second")]
    site.stand_in.answers = [(500, {})] * 20
    visit = open_visit(prepare="navigator.sendBeacon = () => { throw new Error('blocked') }")
    visit.expect_hero("Welcome back")
    visit.page.locator(".buy").wait_for(state="hidden")
    assert visit.site.stand_in.list_accepted() == []


def test_workflows_still_work_if_tracking_is_down(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger={"event": "cart"})]
    visit = open_visit()
    visit.page.wait_for_function("() => !!localStorage.getItem('beckon:site-key-of-the-tests:playbooks')")
    visit.page.context.set_offline(True)
    visit.page.evaluate("workflowSystem.emit('cart')")
    visit.expect_hero("Welcome back")


def test_temporary_network_issues_are_retried(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    site.stand_in.answers = [(503, {"Retry-After": "0"})]
    visit = open_visit()
    (body,) = visit.await_executions()
    assert [report.status for report in site.stand_in.reports] == [503, 201]
    assert {report.body["executionId"] for report in site.stand_in.reports} == {body["executionId"]}


def test_debug_logging_prints_the_lines_of_the_document(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger={"device": ["desktop"]})]
    visit = open_visit(prepare=DEBUG)
    visit.await_line("✅")
    assert visit.list_workflow_lines() == [
        "🎯 Workflow triggered: Mobile CTA Optimization by Device Type",
        "📊 Tracking execution for workflow: Mobile CTA Optimization",
        f"✅ Execution tracked successfully: {visit.await_executions()[0]['executionId']}",
    ]


def test_debug_says_why_an_action_failed(site: Site, open_visit: OpenVisit) -> None:
    action = {"action": "set_attribute", "selector": ".buy", "name": "onclick", "value": "steal()"}
    site.stand_in.playbooks = [make_playbook(action)]
    line = open_visit(prepare=DEBUG).await_line("Beckon: ")
    assert line == "Beckon: Mobile CTA Optimization, Set Attribute: attribute onclick is not allowed"


def test_nothing_is_printed_without_debug_and_all_once_it_is_turned_on(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit()
    visit.await_executions()
    visit.page.wait_for_function("() => localStorage.getItem('beckon:site-key-of-the-tests:queue') === '[]'")
    assert visit.lines == []
    visit.page.evaluate("window.workflowSystem.config.debug = true")
    visit.await_line("✅ Execution tracked successfully: ")
    assert len(visit.list_workflow_lines()) == 3


def test_tracking_happens_asynchronously(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger={"event": "cart"})]
    visit = open_visit()
    visit.page.wait_for_function("() => !!localStorage.getItem('beckon:site-key-of-the-tests:playbooks')")
    # The page is changed within the call, and nothing is sent within it.
    state = visit.page.evaluate(
        """() => { window.calls = []; const send = fetch; window.fetch = (...all) => (calls.push(all[0]), send(...all));
        workflowSystem.emit('cart'); return [document.querySelector('.hero').textContent, calls.length] }"""
    )
    assert state == ["Welcome back", 0]
    visit.await_executions()
    assert len(visit.page.evaluate("calls")) == 1


def test_tracking_does_not_slow_down_page_modifications(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text()), make_playbook(HIDE_BUY, name="Second")]
    # No request to the tracking endpoint is ever answered: the pages change all the same.
    visit = open_visit(None)
    visit.page.route("**/api/track-execution*", lambda _: None)
    page = visit.go()
    visit.expect_hero("Welcome back")
    page.locator(".buy").wait_for(state="hidden")
    assert site.stand_in.reports == []


def test_multiple_actions_are_tracked_in_a_single_call(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(*[replace_text(f"Text {number}") for number in range(5)])]
    visit = open_visit()
    (body,) = visit.await_executions()
    visit.page.wait_for_function("() => localStorage.getItem('beckon:site-key-of-the-tests:queue') === '[]'")
    assert len(body["actions"]) == 5
    assert len(site.stand_in.reports) == 1


def test_client_side_timing_measures_each_action(site: Site, open_visit: OpenVisit) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), HIDE_BUY, trigger={"event": "cart"})]
    visit = open_visit()
    visit.page.wait_for_function("() => !!localStorage.getItem('beckon:site-key-of-the-tests:playbooks')")
    # A page whose text nodes are slow to insert: 30 ms of the browser's clock pass while the text is set.
    visit.page.evaluate(
        """() => { let skipped = 0; const now = performance.now.bind(performance);
        performance.now = () => now() + skipped;
        const { set, get } = Object.getOwnPropertyDescriptor(Node.prototype, 'textContent');
        Object.defineProperty(Node.prototype, 'textContent',
            { get, set(text) { skipped += this.className === 'hero' ? 30 : 0; set.call(this, text) } });
        workflowSystem.emit('cart') }"""
    )
    (body,) = visit.await_executions()
    first, second = body["actions"]
    assert 30 <= first["executionTimeMs"] < 1000
    assert second["executionTimeMs"] < 30 <= body["executionTimeMs"]
