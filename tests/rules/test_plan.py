"""The next step of a workflow, from the finished steps alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import Step, Variant, Workflow, parse
from rules.plan import (
    choose_variant,
    find_first_message_kind,
    find_first_send_channel,
    find_last_step,
    find_next_queue,
    find_next_step,
    find_step,
    list_arms,
    list_follow_up_steps,
)

WRITE = {"id": "write", "action": "generate_message", "with": {"prompt": "x"}}
EMAIL = {"id": "email", "action": "send_email", "with": {"subject": "x", "body": "x"}}
SMS = {"id": "sms", "action": "send_sms", "with": {"body": "x"}}
NOTE = {"id": "note", "action": "notify", "with": {"channel": "slack", "text": "x"}}
PAUSE = {"id": "pause", "action": "wait", "with": {"for": "2h"}}
TAG = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["x"]}}
STOP = {"id": "stop", "action": "stop"}


def build_branch(then: list[Any], otherwise: list[Any], condition: str = "payload.big") -> dict[str, Any]:
    return {"id": "fork", "action": "branch", "if": condition, "then": then, "else": otherwise}


def build_workflow(*steps: dict[str, Any]) -> Workflow:
    return parse({"trigger": {"type": "x"}, "steps": list(steps)})


def find_next_step_id(flow: Workflow, finished: dict[str, Any]) -> str | None:
    step = find_next_step(flow, finished)
    return step.id if step else None


def test_steps_follow_in_order_until_the_end() -> None:
    flow = build_workflow(WRITE, EMAIL)
    assert find_next_step_id(flow, {}) == "write"
    assert find_next_step_id(flow, {"write": {}}) == "email"
    assert find_next_step_id(flow, {"write": {}, "email": {}}) is None


def test_the_plan_follows_the_taken_arm_and_then_continues() -> None:
    flow = build_workflow(build_branch([SMS], [EMAIL]), NOTE)
    assert find_next_step_id(flow, {"fork": {"taken": "then"}}) == "sms"
    assert find_next_step_id(flow, {"fork": {"taken": "else"}}) == "email"
    assert find_next_step_id(flow, {"fork": {"taken": "else"}, "email": {}}) == "note"
    assert find_next_step_id(build_workflow(build_branch([SMS], []), NOTE), {"fork": {"taken": "else"}}) == "note"


def test_a_split_follows_its_variant_and_a_wait_until_its_event() -> None:
    split = {
        "id": "fork",
        "action": "split",
        "variants": [{"name": "a", "steps": [SMS]}, {"name": "b", "steps": [EMAIL]}],
    }
    waiting = {
        "id": "fork",
        "action": "wait_until",
        "with": {"event": "contact.replied", "timeout": "1d", "then": [SMS], "else": [EMAIL]},
    }
    assert find_next_step_id(build_workflow(split), {"fork": {"taken": "b"}}) == "email"
    assert find_next_step_id(build_workflow(waiting), {"fork": {"taken": "then"}}) == "sms"
    assert find_next_step_id(build_workflow(waiting), {"fork": {"taken": "else"}}) == "email"


def test_a_finished_stop_ends_the_execution_in_any_arm() -> None:
    flow = build_workflow(build_branch([STOP, SMS], []), EMAIL)
    assert find_next_step_id(flow, {"fork": {"taken": "then"}, "stop": {}}) is None


@pytest.mark.parametrize(
    ("steps", "queue"),
    [
        ([WRITE, EMAIL], "generation"),
        ([TAG, EMAIL, WRITE], "sending"),
        ([NOTE], "sending"),
        ([TAG], "executions"),
        ([STOP, EMAIL], "executions"),
        ([PAUSE, EMAIL], "executions"),
        ([build_branch([SMS], [EMAIL])], "sending"),
        ([build_branch([SMS], []), EMAIL], "sending"),
        ([build_branch([SMS], []), WRITE], "executions"),
        ([build_branch([WRITE], []), WRITE | {"id": "again"}], "generation"),
        ([build_branch([SMS], [STOP])], "executions"),
        ([build_branch([SMS], [PAUSE]), EMAIL], "executions"),
        ([build_branch([], []), EMAIL], "sending"),
        ([build_branch([SMS], [])], "executions"),
    ],
)
def test_the_queue_is_that_of_the_next_call_if_all_open_arms_agree(steps: list[Any], queue: str) -> None:
    assert find_next_queue(build_workflow(*steps), {}) == queue


def test_the_queue_follows_the_taken_arm() -> None:
    flow = build_workflow(build_branch([SMS], [WRITE]))
    assert find_next_queue(flow, {"fork": {"taken": "then"}}) == "sending"
    assert find_next_queue(flow, {"fork": {"taken": "else"}}) == "generation"
    assert find_next_queue(flow, {"fork": {"taken": "then"}, "sms": {}}) == "executions"


def test_many_open_branches_are_searched_in_linear_time() -> None:
    forks = [build_branch([], []) | {"id": f"f{n}"} for n in range(99)]
    assert find_next_queue(build_workflow(*forks, EMAIL), {}) == "sending"


def test_the_first_channel_is_found_past_generation_waits_and_notices() -> None:
    assert find_first_send_channel(build_workflow(WRITE, NOTE, PAUSE, EMAIL, SMS), {}, {}) == "email"
    assert find_first_send_channel(build_workflow(WRITE, EMAIL, SMS), {"write": {}, "email": {}}, {}) == "sms"
    assert find_first_send_channel(build_workflow(TAG, NOTE), {}, {}) is None


def test_the_first_channel_follows_a_branch_that_the_facts_decide() -> None:
    flow = build_workflow(build_branch([SMS], [EMAIL]))
    assert find_first_send_channel(flow, {}, {"payload": {"big": True}}) == "sms"
    assert find_first_send_channel(flow, {}, {"payload": {}}) == "email"


def test_the_first_channel_is_unknown_if_a_branch_needs_a_later_output() -> None:
    on_text = "steps.write.text contains 'x'"
    assert find_first_send_channel(build_workflow(WRITE, build_branch([SMS], [EMAIL], on_text)), {}, {}) is None
    assert (
        find_first_send_channel(build_workflow(WRITE, build_branch([SMS], [], on_text), SMS | {"id": "b"}), {}, {})
        == "sms"
    )
    facts = {"steps": {"write": {"text": "x"}}}
    assert (
        find_first_send_channel(build_workflow(WRITE, build_branch([SMS], [EMAIL], on_text)), {"write": {}}, facts)
        == "sms"
    )


DM = {"id": "dm", "action": "send_message", "with": {"channel": "instagram", "body": "x"}}
PRIVATE = {"id": "private", "action": "send_message", "with": {**DM["with"], "as": "private_reply"}}
PUBLIC = {"id": "public", "action": "reply_comment", "with": {"body": "x"}}


@pytest.mark.parametrize(
    ("steps", "before_waits", "through_waits"),
    [
        ([PUBLIC, PRIVATE, DM], "comment_reply", "comment_reply"),
        ([TAG, PRIVATE, PAUSE, DM], "private_reply", "private_reply"),
        ([PAUSE, DM], None, "message"),
        ([EMAIL, PRIVATE], "message", "message"),
        ([build_branch([PRIVATE], [DM], "steps.write.text")], None, None),
        ([TAG], None, None),
    ],
)
def test_the_first_messages_way_is_found_with_or_without_waits(
    steps: list[Any], before_waits: str | None, through_waits: str | None
) -> None:
    assert find_first_message_kind(build_workflow(*steps), {}, {}, through_waits=False) == before_waits
    assert find_first_message_kind(build_workflow(*steps), {}, {}, through_waits=True) == through_waits


def build_split_step(*weights: int) -> Step:
    return Step("s", "split", variants=tuple(Variant(f"v{n}", weight, ()) for n, weight in enumerate(weights)))


SPLIT = {
    "id": "s", "action": "split",
    "variants": [{"name": "v0", "weight": 1, "steps": [SMS]}, {"name": "v1", "weight": 1, "steps": [EMAIL]}],
}  # fmt: skip


def test_a_split_takes_the_variant_of_the_contact() -> None:
    step = build_workflow(SPLIT).steps[0]
    assert [choose_variant(step, f"contact-{n}") for n in range(3, 6)] == ["v0", "v1", "v0"]


def test_a_step_without_arms_has_none() -> None:
    assert list_arms(build_workflow(EMAIL).steps[0]) == {}


@pytest.mark.parametrize(
    ("contact", "channel"),
    [({"id": "contact-3"}, "sms"), ({"id": "contact-4"}, "email"), ({"id": None}, None), ({}, None), ("x", None)],
)
def test_the_first_channel_follows_the_variant_of_the_contact(contact: Any, channel: str | None) -> None:
    assert find_first_send_channel(build_workflow(SPLIT), {}, {"contact": contact}) == channel


def test_the_first_message_s_kind_follows_a_branch_that_the_facts_decide() -> None:
    flow = build_workflow(build_branch([PRIVATE], [DM]))
    assert find_first_message_kind(flow, {}, {"payload": {"big": True}}, through_waits=False) == "private_reply"
    assert find_first_message_kind(flow, {}, {"payload": {}}, through_waits=False) == "message"


def test_a_condition_on_a_finished_step_as_a_whole_is_decided() -> None:
    flow = build_workflow(WRITE, build_branch([SMS], [EMAIL], "steps.write"))
    assert find_first_send_channel(flow, {"write": {}}, {"steps": {"write": {"text": "x"}}}) == "sms"


def test_a_step_is_found_in_any_arm() -> None:
    flow = build_workflow(build_branch([SMS], [SPLIT | {"variants": [{"name": "a", "steps": [EMAIL]}]}]), NOTE)
    assert [(step := find_step(flow, name)) and step.id for name in ("fork", "sms", "s", "email", "note")] == [
        "fork", "sms", "s", "email", "note",
    ]  # fmt: skip
    assert find_step(flow, "other") is None


def test_a_split_is_the_same_in_every_process_and_release() -> None:
    # The first sixteen digits of `printf s:contact-4 | sha256sum` are an odd number, those of the others are even.
    assert [choose_variant(build_split_step(1, 1), f"contact-{n}") for n in range(3, 6)] == ["v0", "v1", "v0"]


def test_a_split_follows_its_weights() -> None:
    counts = Counter(choose_variant(build_split_step(3, 1), str(n)) for n in range(4000))
    assert 2850 < counts["v0"] < 3150


@given(st.lists(st.integers(1, 1_000_000), min_size=2, max_size=20), st.text(max_size=20))
def test_a_split_always_takes_one_of_its_variants_and_the_same_one(weights: list[int], contact: str) -> None:
    step = build_split_step(*weights)
    assert choose_variant(step, contact) == choose_variant(step, contact)
    assert choose_variant(step, contact) in list_arms(step)


@st.composite
def any_workflow(draw: st.DrawFn) -> Workflow:
    count = 0

    def draw_steps(level: int) -> list[dict[str, Any]]:
        nonlocal count
        drawn_steps = []
        for _ in range(draw(st.integers(0, 3))):
            count += 1
            step = dict(draw(st.sampled_from([WRITE, EMAIL, PAUSE, TAG, STOP, build_branch([], [])])), id=f"s{count}")
            if step["action"] == "branch" and level < 4:
                step |= {"then": draw_steps(level + 1), "else": draw_steps(level + 1)}
            drawn_steps.append(step)
        return drawn_steps

    return build_workflow(*draw_steps(1))


@settings(max_examples=200, deadline=None)
@given(any_workflow(), st.randoms(use_true_random=False))
def test_the_plan_returns_each_step_once_and_ends(flow: Workflow, dice: Any) -> None:
    finished: dict[str, Any] = {}
    while step := find_next_step(flow, finished):
        assert step.id not in finished
        expected = find_next_queue(flow, finished)
        assert step.queue is None or expected == step.queue
        finished[step.id] = {"taken": dice.choice(["then", "else"])} if step.action == "branch" else {}
    assert find_next_queue(flow, finished) == "executions"


@pytest.mark.parametrize(
    ("steps", "finished", "skipped", "again"),
    [
        ((WRITE, EMAIL), ("write", "email"), (), ["write", "email"]),
        ((WRITE, EMAIL, SMS), ("write", "email", "sms"), (), ["write", "sms"]),
        ((WRITE, EMAIL, SMS), ("write", "email", "sms"), ("sms",), ["write", "email"]),
        ((EMAIL, NOTE), ("email", "note"), (), ["email"]),
        ((WRITE, NOTE), ("write", "note"), (), []),
        ((EMAIL,), ("email",), ("email",), []),
        ((EMAIL, STOP), ("email", "stop"), (), []),
    ],
)
def test_a_follow_up_repeats_the_last_generation_and_the_last_send(
    steps: tuple[Any, ...], finished: tuple[str, ...], skipped: tuple[str, ...], again: list[str]
) -> None:
    follow_up = list_follow_up_steps(build_workflow(*steps), {name: {} for name in finished}, skipped)
    assert [step.id for step in follow_up] == again


def test_a_follow_up_of_a_private_reply_is_a_plain_message() -> None:
    fields = {"channel": "instagram", "body": "x", "as": "private_reply"}
    (step,) = list_follow_up_steps(build_workflow({"id": "dm", "action": "send_message", "with": fields}), {"dm": {}})
    assert (step.id, step.message_kind) == ("dm", "message")


def test_the_last_generation_and_send_are_those_of_the_taken_arm() -> None:
    flow = build_workflow(WRITE, build_branch([SMS], [EMAIL]), NOTE)
    finished = {"write": {}, "fork": {"taken": "then"}, "sms": {}, "note": {}}
    generated, sent = (
        find_last_step(flow, finished, queue="generation"),
        find_last_step(flow, finished, queue="sending"),
    )
    assert generated is not None
    assert generated.id == "write"
    assert sent is not None
    assert sent.id == "sms"
