"""The workflow editor without a script: forms that keep the text, drafts, conflicts, publishing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from werkzeug.datastructures import MultiDict

from dashboard.automation_templates import TEMPLATES
from dashboard.pages.editor_tree import build_steps, iter_nodes
from rules.language import PLAYBOOK
from rules.serialization import write
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, bob, post, read_text, sign_in_as
from tests.support.html_forms import read_fields

__all__ = ["bob"]

TEXT = """\
# Greets leads.
trigger: {type: lead.scored}   # sent by the CRM
rules: {daily_limit: 200}
steps:
  - id: hello
    action: send_email
    with:
      subject: "Hi"   # short
      body: |
        Hello!
        How are you?
    retry: {max: 2}
  - id: shop
    action: call_webhook
    with: {url: "https://shop.example/hook", body: {id: "{{ contact.id }}", count: 2, tags: [a, null]}}
"""


def create(alice: Producer, text: str = TEXT) -> dict[str, Any]:
    """An automation with this text as version 1."""
    body = {"name": "Leads", "type": "workflow", "source": text}
    automation: dict[str, Any] = alice.post(alice.automations, body).json["automation"]
    return automation


def fetch(alice: Producer, automation_id: str) -> dict[str, Any]:
    automation: dict[str, Any] = alice.get(f"{alice.automations}/{automation_id}").json["automation"]
    return automation


def open_part(bob: Browser, automation: dict[str, Any], part: str = "") -> MultiDict[str, str]:
    """The fields of the form with a part open, as a browser would send them unchanged."""
    page = bob.get(f"/automations/{automation['id']}/edit?part={part}")
    assert page.status_code == 200
    return read_fields(page.text, "workflow")


def send(
    bob: Browser, automation: dict[str, Any], fields: MultiDict[str, str], do: str = "save", **changes: str
) -> Any:
    for name, value in changes.items():
        fields[name] = value
    path = f"/automations/{automation['id']}/workflow"
    return bob.post(path, data={**fields.to_dict(flat=False), "do": do})


def iter_parts(definition: dict[str, Any]) -> Iterator[str]:
    yield from ("trigger", "rules")
    for node in iter_nodes(build_steps(definition["steps"], [], [])):
        yield node.path


def test_a_form_that_nobody_changed_saves_nothing_for_any_template(bob: Browser, alice: Producer) -> None:
    for template in TEMPLATES:
        if template.type == PLAYBOOK:
            continue
        body = {"name": template.name, "type": template.type, "source": write(template.definition)}
        automation = alice.post(alice.automations, body).json["automation"]
        for part in iter_parts(automation["definition"]):
            assert send(bob, automation, open_part(bob, automation, part)).status_code == 303, (template.slug, part)
            saved = fetch(alice, automation["id"])
            assert saved["draftSavedAt"] is None, (template.slug, part)


def test_an_edit_in_the_form_changes_only_its_own_lines(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    response = send(bob, automation, open_part(bob, automation, "steps[0]"), **{"f:with.subject": "Hello {{ now }}"})
    assert response.headers["Location"].endswith("/edit?part=steps%5B0%5D")
    text = open_part(bob, automation)["text"]
    assert text == TEXT.replace('subject: "Hi"   # short', 'subject: "Hello {{ now }}"   # short')
    assert fetch(alice, automation["id"])["source"] == TEXT, "what is published stays as its author wrote it"


def test_numbers_lists_and_null_of_a_webhook_keep_their_types(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    fields = open_part(bob, automation, "steps[1]")
    send(bob, automation, fields, "publish", **{"f:with.url": "https://shop.example/next"})
    body = fetch(alice, automation["id"])["definition"]["steps"][1]["with"]["body"]
    assert body == {"id": "{{ contact.id }}", "count": 2, "tags": ["a", None]}


def test_rules_are_set_and_cleared(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    changes = {
        "f:rules.daily_limit": "", "f:rules.active_hours.start": "09:00", "f:rules.active_hours.end": "21:00",
        "f:rules.tags.none": "customer\r\n\r\n lost ", "f:rules.frequency_cap.max": "2",
        "f:rules.frequency_cap.per": "7", "f:rules.frequency_cap.per:unit": "d", "f:topic": "News",
    }  # fmt: skip
    assert send(bob, automation, open_part(bob, automation, "rules"), "publish", **changes).status_code == 303
    definition = fetch(alice, automation["id"])["definition"]
    assert definition["rules"] == {
        "tags": {"none": ["customer", "lost"]}, "active_hours": {"start": "09:00", "end": "21:00"},
        "frequency_cap": {"max": 2, "per": "7d"},
    }  # fmt: skip
    assert definition["topic"] == "News"


def test_another_trigger_keeps_what_it_has_in_common(bob: Browser, alice: Producer) -> None:
    text = TEXT.replace(
        "{type: lead.scored}",
        '{type: instagram.message, where: "payload.x == 1", with: {keywords: [price], default: true}}',
    )
    automation = create(alice, text)
    fields = open_part(bob, automation, "trigger")
    send(bob, automation, fields, trigger_type="instagram.comment")
    fields = open_part(bob, automation, "trigger")
    assert fields["f:with.keywords"] == "price"
    assert "default" not in fields["text"]
    send(bob, automation, fields, trigger_type="event")
    assert "type: contact.created" in open_part(bob, automation, "trigger")["text"]


def test_buttons_of_the_form_add_and_move_steps_without_a_script(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    page = send(bob, automation, open_part(bob, automation, "steps[0]"), "choose:steps:1")
    choosing = bob.get(page.headers["Location"]).text
    assert "Send SMS" in choosing
    send(bob, automation, read_fields(choosing, "workflow"), "add:steps:1:send_sms")
    fields = open_part(bob, automation, "steps[1]")
    assert fields["f:with.body"].startswith("Hello")
    send(bob, automation, fields, "down:steps[1]", **{"f:with.body": "New"})
    text = open_part(bob, automation)["text"]
    assert text.index("call_webhook") < text.index("send_sms")
    assert 'body: "New"' in text, "the form's values come before the button's operation"


def test_invalid_json_is_named_and_changes_nothing(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    response = send(bob, automation, open_part(bob, automation, "steps[1]"), "publish", **{"f:with.body": '{"a": '})
    assert response.status_code == 422
    assert "Is not valid JSON" in read_text(response.text)
    assert fetch(alice, automation["id"])["version"] == 1


def test_a_text_that_cannot_be_parsed_is_kept_as_the_draft(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    broken = TEXT + "  - [\n"
    assert send(bob, automation, open_part(bob, automation), "text", text=broken).status_code == 303
    page = bob.get(f"/automations/{automation['id']}/edit").text
    assert read_fields(page, "workflow")["text"] == broken
    assert "The YAML cannot be read" in page
    response = send(bob, automation, open_part(bob, automation), "publish")
    assert response.status_code == 422
    assert fetch(alice, automation["id"])["version"] == 1


def test_the_second_of_two_editors_is_told_and_may_overwrite(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    first, second = (open_part(bob, automation, "steps[0]") for _ in range(2))
    assert send(bob, automation, first, **{"f:with.subject": "First"}).status_code == 303
    response = send(bob, automation, second, **{"f:with.subject": "Second"})
    assert response.status_code == 409
    assert "Your changes are not saved." in response.text
    assert "subject: &#34;First&#34;" in response.text, "the other text is shown beside one's own"
    assert "First" in open_part(bob, automation)["text"]
    assert send(bob, automation, read_fields(response.text, "workflow"), "overwrite").status_code == 303
    assert "Second" in open_part(bob, automation)["text"]


def test_a_version_published_meanwhile_is_not_overwritten(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    fields = open_part(bob, automation, "steps[0]")
    alice.put(f"{alice.automations}/{automation['id']}", {"source": TEXT.replace("200", "300")})
    for do in ("save", "publish"):
        response = send(bob, automation, fields.copy(), do, **{"f:with.subject": "Mine"})
        assert response.status_code == 409, do
    assert fetch(alice, automation["id"])["version"] == 2


def test_publishing_keeps_note_name_and_text(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    fields = open_part(bob, automation, "steps[0]")
    response = send(bob, automation, fields, "publish", note="Shorter", name="Warm leads", **{"f:with.subject": "Yo"})
    assert response.status_code == 303
    saved = fetch(alice, automation["id"])
    assert (saved["name"], saved["version"], saved["draftSavedAt"]) == ("Warm leads", 2, None)
    assert saved["source"] == TEXT.replace('subject: "Hi"', 'subject: "Yo"')
    assert saved["versions"][0]["note"] == "Shorter"
    response = send(bob, automation, open_part(bob, automation, "steps[0]"), "publish")
    assert "/edit" in response.headers["Location"], "nothing has changed"
    assert fetch(alice, automation["id"])["version"] == 2


def test_a_new_automation_becomes_a_draft_with_its_first_change(bob: Browser, alice: Producer) -> None:
    fields = read_fields(bob.get("/automations/new?start=empty").text, "workflow")
    fields["name"] = "New one"
    response = bob.post("/automations/workflows", data={**fields.to_dict(flat=False), "do": "save"})
    automation_id = response.headers["Location"].split("/")[2]
    saved = fetch(alice, automation_id)
    assert (saved["name"], saved["version"], saved["enabled"]) == ("New one", 0, False)
    fields = open_part(bob, saved)
    fields["turn_on"] = "true"
    assert send(bob, saved, fields, "publish").status_code == 303
    assert fetch(alice, automation_id)["enabled"]


def test_another_type_is_checked_before_the_first_save(bob: Browser, alice: Producer) -> None:
    fields = read_fields(bob.get("/automations/new?start=empty").text, "workflow")
    fields["type"] = "comment_to_dm"
    page = bob.post("/automations/workflows", data={**fields.to_dict(flat=False), "do": "retype"}).text
    assert "type: instagram.comment" in read_fields(page, "workflow")["text"], "of a trigger that the type has"
    assert alice.get(alice.automations).json["automations"] == []
    fields["type"] = "playbook"
    response = bob.post("/automations/workflows", data={**fields.to_dict(flat=False), "do": "save"})
    assert response.status_code == 422


def test_only_operators_of_the_workspace_edit(bob: Browser, alice: Producer, charlie: Producer) -> None:
    theirs = create(charlie)
    assert bob.get(f"/automations/{theirs['id']}/edit").status_code == 404
    assert post(bob, f"/automations/{theirs['id']}/workflow", text=TEXT, name="x", do="save").status_code == 404


def test_a_viewer_edits_nothing(client: Browser, alice: Producer) -> None:
    automation, viewer = create(alice), sign_in_as(client, alice, "viewer")
    assert viewer.get(f"/automations/{automation['id']}/edit").status_code == 403
    assert post(viewer, f"/automations/{automation['id']}/workflow", text=TEXT, name="x", do="save").status_code == 403


def test_texts_are_escaped_wherever_they_are_shown(bob: Browser, alice: Producer) -> None:
    mean = "</textarea><script>alert(1)</script>"
    automation = create(alice, TEXT.replace('"Hi"', f"'{mean}'"))
    page = bob.get(f"/automations/{automation['id']}/edit?part=steps[0]").text
    assert mean not in page
    assert read_fields(page, "workflow")["f:with.subject"] == mean


WARNED = """\
trigger: {type: instagram.comment}
rules: {daily_limit: 0}   # for now
steps:
  - id: dm
    action: send_message
    with: {channel: instagram, body: Hi}   # the link
"""


def test_a_warning_is_at_its_field_and_its_button_mends_it(bob: Browser, alice: Producer) -> None:
    automation = create(alice, WARNED)
    page = bob.get(f"/automations/{automation['id']}/edit?part=steps[0]").text
    alert = page.split('id="warnings-steps[0].with.channel"')[1].split("data-count")[0]
    assert "must be a private reply" in alert
    assert "Fix: send it as a private reply" in alert
    assert page.count('<span class="warned"') == 2
    fields = open_part(bob, automation, "steps[0]")
    assert send(bob, automation, fields, "fix:steps.dm.with.channel|Send it as a private reply").status_code == 303
    draft = alice.get(f"{alice.automations}/{automation['id']}/draft").json["draft"]["source"]
    assert "as: private_reply" in draft
    assert draft.count("# ") == 2


def test_a_fix_that_its_text_no_longer_needs_edits_nothing(bob: Browser, alice: Producer) -> None:
    automation = create(alice)
    fields = open_part(bob, automation, "steps[0]")
    for operation in ("fix:steps.dm.with.channel|Send it as a private reply", "fix:", "fix:rules.daily_limit|x"):
        assert send(bob, automation, fields, operation).status_code == 303
    assert alice.get(f"{alice.automations}/{automation['id']}/draft").json["draft"] is None


def test_a_text_is_counted_as_its_channel_does(bob: Browser, alice: Producer) -> None:
    text = (
        "trigger: {type: instagram.message}\nsteps:\n"
        "  - {id: a, action: send_sms, with: {body: 'Hi {{ contact.first_name }} 😀', max_segments: 3}}\n"
        "  - {id: b, action: send_message, with: {channel: instagram, body: Ciao è, buttons: [{title: Yes}]}}\n"
        "  - {id: c, action: send_message, with: {channel: facebook, body: Ciao è}}\n"
    )
    automation = create(alice, text)
    lengths = ("6 units of UCS-2 · 1 of 3 parts · without variables", "6 of 640 characters", "6 of 2,000 characters")
    for index, length in enumerate(lengths):
        page = bob.get(f"/automations/{automation['id']}/edit?part=steps[{index}]").text
        assert length in page
        assert ("3 of 20 characters" in page) is (index == 1)
