"""Playbooks: a playbook can only do its declared actions, and its definition has nothing of a message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import playbooks
from rules.playbook_values import (
    check_attribute_name,
    check_attribute_value,
    check_page_pattern,
    check_style_property,
    check_style_value,
    check_web_url,
)
from rules.validation import validate

TITLE = {"id": "title", "action": "replace_text", "with": {"selector": "h1", "text": "Welcome"}}


def build_playbook(*steps: object, trigger: object = None, **more: object) -> dict[str, Any]:
    return {"trigger": trigger or {"type": "page"}, "steps": list(steps) or [TITLE], **more}


def find_problems(document: object, automation_type: str = "playbook") -> dict[str, str]:
    return {problem.path: problem.message for problem in validate(document, automation_type=automation_type)}


def build_step(action: str, **with_: object) -> dict[str, Any]:
    return {"id": "one", "action": action, "with": with_}


def set_attribute(name: str, value: str, selector: str = "a") -> dict[str, Any]:
    return build_playbook(build_step("set_attribute", selector=selector, name=name, value=value))


def set_style(name: str, value: object) -> dict[str, Any]:
    return build_playbook(build_step("set_style", selector="a", style={name: value}))


def test_a_playbook_has_the_page_trigger_and_only_a_playbook_has_it() -> None:
    assert find_problems(build_playbook()) == {}
    assert find_problems(build_playbook(trigger={"type": "contact.created"})) == {
        "trigger.type": "must be page for this type of automation"
    }
    assert 'must have the type "playbook"' in find_problems(build_playbook(), "workflow")["trigger.type"]


def test_actions_of_playbooks_and_of_workflows_do_not_mix() -> None:
    sms = {"id": "sms", "action": "send_sms", "with": {"body": "hi"}}
    assert find_problems(build_playbook(TITLE, sms)) == {
        "steps[1].action": '"send_sms" is not available in a playbook, which runs in the visitor\'s browser'
    }
    workflow = {"trigger": {"type": "x"}, "steps": [sms, TITLE]}
    assert 'only automations of the type "playbook"' in find_problems(workflow, "workflow")["steps[1].action"]
    assert "did you mean" in find_problems(build_playbook(build_step("replace_txt")))["steps[0].action"]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (build_playbook(rules={"daily_limit": 3}), "rules"),
        (build_playbook(rules={"follow_ups": {"max": 1}}), "rules"),
        (build_playbook(trigger={"type": "page", "where": "contact.tags contains 'a'"}), "trigger.where"),
        (build_playbook({**TITLE, "retry": {"max": 1}}), "steps[0].retry"),
        (build_playbook({**TITLE, "on_unknown": "hold"}), "steps[0].on_unknown"),
        (build_playbook({**TITLE, "review": True}), "steps[0].review"),
        (build_playbook({**TITLE, "send_at": "09:00"}), "steps[0].send_at"),
        (build_playbook({**TITLE, "then": [TITLE]}), "steps[0].then"),
    ],
)
def test_a_playbook_has_nothing_of_a_message(document: dict[str, Any], path: str) -> None:
    problems = find_problems(document)
    assert set(problems) == {path}
    assert "is not available in a playbook" in problems[path]


def test_every_condition_reaches_the_browser() -> None:
    with_ = {
        "url": "/pricing*", "device": ["mobile"], "utm": {"source": "newsletter"}, "scroll_depth": 50,
        "time_on_page": "10s", "exit_intent": True, "returning": False, "event": "cart",
        "frequency": {"max": 1, "per": "7d"},
    }  # fmt: skip
    document = build_playbook(trigger={"type": "page", "with": with_})
    assert find_problems(document) == {}
    assert playbooks.build_trigger(document) == {
        "url": "/pricing*", "device": ["mobile"], "utm": {"source": "newsletter"}, "scrollDepth": 50,
        "timeOnPageMs": 10_000, "exitIntent": True, "returning": False, "event": "cart",
    }  # fmt: skip
    assert playbooks.build_frequency(document) == {"max": 1, "perMs": 604_800_000}


@pytest.mark.parametrize(
    "document",
    [
        build_playbook(trigger={"type": "page", "with": {"event": "cart", "frequency": {"max": 2, "per": "1d"}}}),
        build_playbook(trigger={"type": "page", "event": "cart", "frequency": {"max": 2, "per": "1d"}}),
        build_playbook(trigger={"type": "page", "with": None, "event": "cart"}, frequency={"max": 2, "per": "1d"}),
    ],
)
def test_event_and_frequency_may_stand_beside_with(document: dict[str, Any]) -> None:
    assert find_problems(document) == {}
    assert playbooks.build_trigger(document) == {"event": "cart"}
    assert playbooks.build_frequency(document) == {"max": 2, "perMs": 86_400_000}


def test_a_condition_stands_in_one_place_only() -> None:
    frequency = {"max": 2, "per": "1d"}
    document = build_playbook(trigger={"type": "page", "frequency": frequency}, frequency=frequency)
    assert find_problems(document) == {"frequency": "is already set as trigger.frequency: remove one"}


def test_the_browser_gets_the_names_that_it_tracks() -> None:
    document = build_playbook(build_step("set_style", selector="a", style={"opacity": 0.5}))
    assert playbooks.build_actions(document) == [
        {
            "id": "one",
            "action": "set_style",
            "name": "Set Style",
            "with": {"selector": "a", "style": {"opacity": "0.5"}},
        }
    ]
    assert playbooks.build_frequency(document) is None


@pytest.mark.parametrize(
    ("with_", "path"),
    [
        ({"url": "pricing"}, "url"), ({"url": "/a b"}, "url"), ({"url": "/a?b=1"}, "url"),
        ({"url": "/" + "*" * 11}, "url"),
        ({"device": []}, "device"), ({"device": ["watch"]}, "device[0]"), ({"device": "mobile"}, "device"),
        ({"utm": {}}, "utm"), ({"utm": {"sauce": "x"}}, "utm.sauce"), ({"scroll_depth": 101}, "scroll_depth"),
        ({"time_on_page": "25h"}, "time_on_page"), ({"exit_intent": "yes"}, "exit_intent"), ({"event": ""}, "event"),
        ({"event": "a\nb"}, "event"), ({"frequency": {"max": 0, "per": "1d"}}, "frequency.max"),
        ({"frequency": {"max": 1}}, "frequency.per"), ({"cookies": True}, "cookies"),
    ],
)  # fmt: skip
def test_a_problem_of_a_condition_names_its_path(with_: dict[str, Any], path: str) -> None:
    problems = find_problems(build_playbook(trigger={"type": "page", "with": with_}))
    assert set(problems) == {f"trigger.with.{path}"}


@pytest.mark.parametrize(
    ("step", "path"),
    [
        (build_step("replace_text", selector="h1"), "text"),
        (build_step("replace_text", selector="h1 {", text="x"), "selector"),
        (build_step("replace_text", selector="h1", text="{{ contact.email }}"), "text"),
        (build_step("replace_text", selector="h1", text="x" * 10_001), "text"),
        (build_step("replace_text", selector="h1", text="x", html="<b>"), "html"),
        (build_step("replace_image", selector="img", src="data:image/png;base64,AA"), "src"),
        (build_step("set_style", selector="a", style={}), "style"),
        (build_step("set_style", selector="a", style="color: red"), "style"),
        (build_step("set_style", selector="a", style={"color": True}), "style.color"),
        (build_step("set_style", selector="a", style={"color": ""}), "style.color"),
        (build_step("insert_banner", position="left", text="x"), "position"),
        (build_step("insert_banner", position="top", text="x", url="javascript:alert(1)"), "url"),
        (build_step("track_event", name="a\nb"), "name"),
        (build_step("show"), "selector"),
    ],
)
def test_a_problem_of_an_action_names_its_path(step: dict[str, Any], path: str) -> None:
    assert set(find_problems(build_playbook(step))) == {f"steps[0].with.{path}"}


SCRIPT_URLS = [
    "javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)", "\u200bjavascript:alert(1)", "java\u00adscript:alert(1)", "javascript\u2003:alert(1)",
    "data:text/html,<script>alert(1)</script>", "DATA:text/html;base64,AA", "vbscript:msgbox(1)", "blob:https://a/b",
    "file:///etc/passwd", "ftp://a/b", "intent://a", "view-source:https://a", "about:blank", "mailto:a@b.example",
    "https:", "https://", "//", "https:///a", "https://user:secret@a.example/", "//user@a.example/", "/\\evil.example",
    "\\\\evil.example", "https://a.example/ b", "x:y",
]  # fmt: skip


@pytest.mark.parametrize("url", SCRIPT_URLS)
def test_a_url_that_leads_nowhere_but_to_a_web_page_is_refused(url: str) -> None:
    assert check_web_url(url)
    assert find_problems(build_playbook(build_step("redirect", url=url)))
    assert check_attribute_value("HREF", url)


@pytest.mark.parametrize(
    "url",
    ["https://a.example", "HTTPS://A.example/b?c=d:e#f", "//cdn.example/a.png", "/a:b", "a/b", "?a=b", "#top", "./a"],
)
def test_a_web_page_may_be_absolute_or_relative(url: str) -> None:
    assert check_web_url(url) is None


@pytest.mark.parametrize(
    "name",
    [
        "onclick", "ONCLICK", "onpointerrawupdate", "on", "srcdoc", "SrcDoc", "style", "nonce", "is", "id", "name",
        "http-equiv", "content", "ping", "sandbox", "allow", "integrity", "data", "code", "hx-on:click", "hx-get",
        "x-on:click", "@click", "v-html", "ng-click", "data-hx-on--click", "data-ng-click", "data-bind",
        "data-on-click", "xmlns", "attributename", "to", "values", "from", "a b", "a=b", "x onload", "data-",
        "data-x-init", "data-effect", "data-TEXT", "data-computed-total", "data-init.once", "data-star-show",
        "hréf", "",
    ],
)  # fmt: skip
def test_an_attribute_that_a_browser_may_execute_is_refused(name: str) -> None:
    assert check_attribute_name(name)
    assert set(find_problems(set_attribute(name, "x"))) == {"steps[0].with.name"}


@pytest.mark.parametrize(
    "name", ["href", "SRC", "formaction", "action", "xlink:href", "poster", "background", "srcset", "cite"]
)
def test_an_attribute_with_a_url_leads_to_a_web_page(name: str) -> None:
    assert check_attribute_name(name) is None
    for url in ("javascript:alert(1)", " JAVA\tSCRIPT:alert(1)", "data:text/html,x", "vbscript:x"):
        assert set(find_problems(set_attribute(name, url))) == {"steps[0].with.value"}
    assert find_problems(set_attribute(name, "https://a.example/b")) == {}
    assert find_problems(set_attribute(name, "/b.png")) == {}


@pytest.mark.parametrize("name", ["data-kind", "data-textual", "data-styled", "data-shows", "data-initial.value"])
def test_a_data_attribute_that_no_framework_executes_is_allowed(name: str) -> None:
    assert check_attribute_name(name) is None


def test_a_list_of_images_has_no_other_url() -> None:
    assert check_attribute_value("srcset", "/a.png 1x, https://a.example/b.png 2x") is None
    assert check_attribute_value("srcset", "/a.png 1x, javascript:alert(1) 2x")
    assert check_attribute_value("data-href", "java script:alert(1)")
    assert check_attribute_value("title", "Note: 20% off") is None


@pytest.mark.parametrize(
    "selector",
    ["script", "#a > SCRIPT", r"\73 cript", "svg|script", ":is(script)", "iframe", "object", "embed", "base",
                 "link", "meta", "style", "template", "use", "animate", "set", "p, script"],
)  # fmt: skip
def test_an_element_that_a_browser_executes_is_not_changed(selector: str) -> None:
    steps = [
        build_step("replace_text", selector=selector, text="alert(1)"),
        build_step("set_attribute", selector=selector, name="href", value="https://a.example/"),
        build_step("replace_image", selector=selector, src="https://a.example/"),
    ]
    for step in steps:
        assert set(find_problems(build_playbook(step))) == {"steps[0].with.selector"}
    assert find_problems(build_playbook(build_step("hide", selector=selector))) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("background", "url(javascript:alert(1))"), ("background", "url('data:text/html,x')"),
        ("background", 'URL( "vbscript:x" )'), ("background", "url(/a.png), url(ftp://a/b)"),
        ("background", "image-set('javascript:x' 1x)"), ("background", "u\\72l(javascript:x)"),
        ("background", "ur/**/l(javascript:x)"), ("background", "url(https://a.example"),
        ("background", "url(//u@a/b)"),
        ("width", "expression(alert(1))"), ("width", "EXPRESSION (alert(1))"), ("width", "exp\u200bression(alert(1))"),
        ("color", "red; behavior: url(x)"), ("color", "red} a{color:blue"), ("color", "@import 'x'"),
        ("color", "</style>"), ("filter", "progid:DXImageTransform"), ("color", "red\nblue"), ("color", "java script"),
        ("--x", "javascript:alert(1)"),
    ],
)  # fmt: skip
def test_a_style_that_loads_or_computes_script_is_refused(name: str, value: str) -> None:
    assert check_style_value(value)
    assert set(find_problems(set_style(name, value))) == {f"steps[0].with.style.{name}"}


@pytest.mark.parametrize(
    "name", ["behavior", "-ms-behavior", "-moz-binding", "backgroundColor", "a b", "color:", "-", ""]
)
def test_a_property_that_executes_script_or_is_none_is_refused(name: str) -> None:
    assert check_style_property(name)


def test_a_property_in_camel_case_is_corrected() -> None:
    assert check_style_property("backgroundColor") == 'is not a CSS property: write "background-color"'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("color", "#2f5d50"), ("background", "linear-gradient(90deg, rgb(0 0 0 / 50%), var(--a))"), ("z-index", 3),
        ("background-image", "url(https://a.example:8443/b.png?c=d)"), ("background-image", "url('/b.png')"),
        ("font-family", '"Inter", sans-serif'), ("--brand", "red"), ("-webkit-line-clamp", 2), ("content", "'New'"),
        ("color", "red !important"), ("width", "calc(100% - 2 * 8px)"),
    ],
)  # fmt: skip
def test_a_usual_style_is_accepted(name: str, value: object) -> None:
    assert find_problems(set_style(name, value)) == {}


@pytest.mark.parametrize(
    "pattern", ["/", "/pricing*", "*", "*/checkout", "https://shop.example/*", "http://localhost:*/a"]
)
def test_a_pattern_is_a_path_or_an_address(pattern: str) -> None:
    assert check_page_pattern(pattern) is None


_ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.text(max_size=3))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["selector", "text", "name", "value", "style", "url", "src"]), _ANY), st.data())
def test_any_action_is_validated_without_an_exception(with_: dict[str, Any], data: st.DataObject) -> None:
    action = data.draw(st.sampled_from(playbooks.PLAYBOOK_ACTIONS))
    trigger = data.draw(st.dictionaries(st.sampled_from(["type", "with", "event", "frequency"]), _ANY))
    document = {"trigger": {"type": "page", **trigger}, "steps": [{"id": "a", "action": action, "with": with_}]}
    assert isinstance(validate(document, automation_type="playbook"), list)
