"""A forecast says what an execution then does, and writes nothing."""

from __future__ import annotations

from typing import Any

from models.database import acting_as
from models.reports import automations as report
from rules.definition import parse
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.operators.forecasts import Forecast, Subject, find_answering, forecast
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, bob, messages, steps, wait_until_finished
from tests.support.rows import fetch_row
from tests.tasks.test_eligibility import FORBIDDEN

PATH: list[dict[str, Any]] = [
    {"id": "tag", "action": "update_contact", "with": {"add_tags": ["greeted"], "set": {"plan": "{{ payload.plan }}"}}},
    {"id": "fork", "action": "branch", "if": "contact.attributes.plan == 'pro'",
     "then": [{"id": "mail", "action": "send_email",
               "with": {"subject": "For {{ contact.first_name }}", "body": "{{ contact.tags | join: ',' }}"}}],
     "else": [{"id": "sms", "action": "send_sms", "with": {"body": "Free"}}]},
    {"id": "test", "action": "split", "variants": [
        {"name": "a", "steps": [{"id": "last_a", "action": "send_sms", "with": {"body": "A"}}]},
        {"name": "b", "steps": [{"id": "last_b", "action": "send_sms", "with": {"body": "B"}}]}]},
]  # fmt: skip


def count_rows() -> Any:
    return fetch_row(
        "select (select count(*) from executions) e, (select count(*) from messages) m, "
        "(select count(*) from steps) s, "
        "(select count(*) from limit_counts) l, (select count(*) from cap_reservations) c, "
        "(select sum(cardinality(tags)) from contacts) t, (select count(*) from contacts) n"
    )


def build_subject(alice: Alice, automation_id: str, **fields: Any) -> Subject:
    row = report.find(alice.workspace_id, automation_id)
    assert row is not None
    assert row["definition"] is not None
    return Subject(
        alice.workspace_id, automation_id, row["name"], row["type"], row["enabled"], parse(row["definition"]),
        fields.pop("payload", {}), **fields,
    )  # fmt: skip


def find_contact(external_id: str) -> str:
    row = fetch_row("select id from contacts where external_id = %s", (external_id,))
    assert row is not None
    return str(row["id"])


def run_forecast(settings: Settings, subject: Subject) -> Forecast:
    before = count_rows()
    result = forecast(settings, subject)
    assert count_rows() == before
    return result


def test_each_rule_is_judged_as_the_execution_then_is(
    engine: Engine, settings: Settings, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    for number, (rules, contact, (rule, limit, measured, words)) in enumerate(FORBIDDEN):
        # The contact exists before it enters.
        alice.trigger(
            "unknown.event",
            contact=bob(external_id=f"c-{number}", email=f"c{number}@example.com", phone=None) | contact,
        )
        automation_id = alice.automation(trigger=f"case.{number}", rules=rules)
        result = run_forecast(settings, build_subject(alice, automation_id, contact_id=find_contact(f"c-{number}")))
        assert (result.verdict, result.rule, result.words) == ("skipped", rule, words)
        (failed,) = [judgement for judgement in result.rules if not judgement.passed]
        assert failed.detail == {"limit": limit, "measured": measured, "words": words}
        row = wait_until_finished(alice.trigger(f"case.{number}", contact_id=find_contact(f"c-{number}")))
        assert (row["skipped_rule"], row["skipped_detail"]) == (result.rule, failed.detail)


def test_the_path_and_the_texts_are_those_of_the_execution(
    engine: Engine, settings: Settings, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    automation_id = alice.automation(PATH, rules={"tags": {"all": ["lead"]}, "daily_limit": 9})
    alice.trigger("unknown.event")
    for plan in ("pro", "free"):
        subject = build_subject(alice, automation_id, contact_id=find_contact("bob"), payload={"plan": plan})
        result = run_forecast(settings, subject)
        assert (result.verdict, result.rule) == ("eligible", None)
        assert {judgement.rule for judgement in result.rules} >= {
            "automation_off",
            "reachability",
            "tags",
            "daily_limit",
        }
        row = wait_until_finished(alice.trigger(payload={"plan": plan}))
        assert row["status"] == "succeeded"
        outputs = {step_id: step["output"] for step_id, step in steps(row["id"]).items()}
        assert [step.id for step in result.steps if step.id not in outputs] == []
        assert len(result.steps) == len(outputs)
        for step in result.steps:
            if step.action in ("branch", "split"):
                assert step.output == outputs[step.id]
        sent = [(message["channel"], message["to_address"], message["subject"], message["body"])
                for message in messages(row["id"])]  # fmt: skip
        assert sorted(sent, key=str) == sorted(
            [(step.message["channel"], step.message["to_address"], step.message["subject"], step.message["body"])
             for step in result.steps if step.message], key=str,
        )  # fmt: skip


def test_what_cannot_be_known_is_assumed_and_waits_take_their_time(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    automation_id = alice.automation([
        {"id": "write", "action": "generate_message", "with": {"prompt": "For {{ contact.first_name }}"}},
        {"id": "pause", "action": "wait", "with": {"for": "2h"}},
        {"id": "reply", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "1d"},
         "then": [{"id": "thanks", "action": "send_sms", "with": {"body": "{{ steps.write.text }}"}}],
         "else": [{"id": "nudge", "action": "send_sms", "with": {"body": "Still there?"}}]},
    ])  # fmt: skip
    sample = {"first_name": "Ada", "phone": "+15550190001", "email": "ada@sample.example", "tags": [], "attributes": {}}
    subject = build_subject(alice, automation_id, sample=sample)
    late = run_forecast(settings, subject)
    assert [step.id for step in late.steps] == ["write", "pause", "reply", "nudge"]
    hours = [(step.at - late.steps[0].at).total_seconds() / 3600 for step in late.steps]
    assert [round(value) for value in hours] == [0, 0, 2, 26]
    assert late.steps[0].message == {"prompt": "For Ada"}
    assumptions = {"reply": {"taken": "then"}, "write": {"text": "Hi Ada"}}
    soon = run_forecast(settings, build_subject(alice, automation_id, sample=sample, assumptions=assumptions))
    assert [step.id for step in soon.steps] == ["write", "pause", "reply", "thanks"]
    assert soon.steps[-1].message is not None
    assert soon.steps[-1].message["body"] == "Hi Ada"


def test_it_names_the_automation_that_would_answer(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    any_text = alice.automation(trigger="instagram.message", name="Any")
    keyword = alice.automation(trigger={"type": "instagram.message", "with": {"keywords": ["price"]}}, name="Price")
    payload = {"message": {"id": "m", "text": "price?", "payload": None, "attachments": []}}
    for automation_id, starts in ((keyword, True), (any_text, False)):
        with acting_as(alice.workspace_id):
            answering = find_answering(build_subject(alice, automation_id, payload=payload))
        assert answering["starts"] is starts
        assert [item["name"] for item in answering["started"]] == ["Price"]
        assert [(item["name"], item["because"]) for item in answering["notChosen"]] == [("Any", "less_specific")]
