"""Judges the services by their providers: pauses, what their last calls did, and which settings are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlencode, urlsplit

from ephemeral import rates
from models.look_up_refusal import LookUpRefusalRow
from models.pause import OPERATORS_REASONS, PausedRow
from models.reports.provider_calls import Calls
from providers.registry import PROVIDERS, SENDERS
from rules.actions import ACTIONS
from rules.channels import CHANNELS, CONVERSATION_CHANNELS, NOTICE_CHANNELS, TEXT_PROVIDERS
from rules.durations import format_rough_duration
from rules.errors import BY_CLASS
from tasks.health.calls import Activity, list_generations, list_sends, summarize
from tasks.health.facts import Pauses, WorkspaceFacts
from tasks.health.parts import RESTART_REMEDY, Action, Part, Problem, State
from tasks.health.stores import format_milliseconds
from tasks.steps.model_choice import find_default_provider

#: Each service with its label; `executor` stands before them. The API has the first four.
SERVICES = {"email": "E-mail", "sms": "SMS", "messaging": "Messaging", "ai": "AI", "notices": "Notices"}
#: The worst state of a service's providers is the service's.
_WORST_FIRST: tuple[State, ...] = ("failing", "degraded", "paused", "unknown", "ready", "not_configured")


def build_settings_path(provider: str) -> str:
    """Return the page where the secrets of a provider are set; Meta's two channels share them."""
    return f"/settings/channels#{'facebook' if provider == 'instagram' else provider}"


@dataclass(frozen=True)
class ProviderFacts:
    """What is known of a workspace's calls."""

    workspace: WorkspaceFacts
    pauses: Pauses
    calls: Calls
    #: The actions and channels of the active automations.
    used: Collection[str]
    now: datetime
    sandbox_answers: bool = True
    #: What was counted a minute; None while Redis does not answer.
    series: rates.Series | None = None
    #: The providers that refuse look-ups of messages of unknown outcome.
    refusals: Mapping[str, LookUpRefusalRow] = field(default_factory=dict)


def list_providers(service: str, facts: ProviderFacts) -> list[str]:
    """Return the providers behind a service; the workspace's settings name the text generator."""
    if service == "ai":
        return [find_default_provider(facts.workspace.settings)]
    if service == "messaging":
        return list(CONVERSATION_CHANNELS)
    if service == "notices":
        return list(NOTICE_CHANNELS)
    return [CHANNELS[service].provider]


def build_service_parts(facts: ProviderFacts) -> list[Part]:
    """Build the part of each service."""
    return [_build_service(name, facts) for name in SERVICES]


def _build_service(name: str, facts: ProviderFacts) -> Part:
    parts = [
        _add_refusal(_build_provider(name, provider, facts), provider, facts)
        for provider in list_providers(name, facts)
    ]
    worst = min(parts, key=lambda part: _WORST_FIRST.index(part.state))
    problems = tuple(problem for part in parts for problem in part.problems)
    same = [part for part in parts if part.state == worst.state]
    note = "Meta" if name == "messaging" else ", ".join(part.note for part in same)
    return replace(worst, note=note, problems=problems)


def _build_provider(service: str, provider: str, facts: ProviderFacts) -> Part:
    row = next((row for row in facts.pauses.rows if row["kind"] == "provider" and row["name"] == provider), None)
    activity = find_activity(provider, facts.calls)
    if row is not None:
        return _build_paused(service, provider, row, facts)
    if activity.is_failing(facts.now):
        return _build_failing(service, provider, activity, facts)
    missing = facts.workspace.missing_secrets.get(provider, [])
    if missing and not facts.workspace.sandboxed:
        return _build_unconfigured(service, provider, missing, facts)
    if missing and not facts.sandbox_answers:
        return _build_without_sandbox(service, provider)
    measured = describe_activity(activity, _find_p95_ms(provider, facts), facts.now)
    detail = f"{'uses the sandbox' if missing else 'configured'} · {measured}"
    part = _part(service, provider, "ready", detail, since=activity.accepting_since)
    # Nothing was measured yet, so nothing is green.
    return part if activity.accepted_at else replace(part, badge="Not called yet")


def _add_refusal(part: Part, provider: str, facts: ProviderFacts) -> Part:
    """Add the problem of a provider that takes messages and refuses to be asked about them."""
    row = facts.refusals.get(provider)
    if row is None:
        return part
    label, records = PROVIDERS[provider].label, SENDERS[provider].searched_records
    problem = Problem(
        f"look_up_refused:{provider}", part.name, "warning", f"{label} key cannot read {records}",
        f"{row['message']} Messages of unknown outcome cannot be looked up, so they are held and not sent again.",
        f"Use a key that may read {records}, then look the messages up again.", row["refused_at"],
        (
            Action("Configure secrets", build_settings_path(provider), primary=True),
            Action("View messages", f"/failures?failure=unknown&provider={provider}"),
        ),
    )  # fmt: skip
    state: State = "degraded" if part.state == "ready" else part.state
    return replace(part, state=state, badge="", problems=(*part.problems, problem))


def _build_without_sandbox(service: str, provider: str) -> Part:
    problem = Problem(
        f"sandbox_down:{service}", service, "critical", f"The sandbox does not answer in place of {SERVICES[service]}",
        "This workspace uses the sandbox for providers without a key. Its messages are tried again later.",
        RESTART_REMEDY,
    )  # fmt: skip
    return _part(service, provider, "failing", "the sandbox does not answer", problems=(problem,))


def _part(
    service: str,
    provider: str,
    state: State,
    detail: str,
    *,
    figure: str = "",
    since: datetime | None = None,
    problems: tuple[Problem, ...] = (),
) -> Part:
    return Part(
        service, SERVICES[service], "services", state, detail, figure, PROVIDERS[provider].label, since,
        problems=problems,
    )  # fmt: skip


def find_activity(provider: str, calls: Calls) -> Activity:
    """Return what the last calls of a provider did."""
    if provider in TEXT_PROVIDERS:
        return summarize(list_generations(calls.generations))
    return summarize(list_sends(calls.sends, provider))


def _find_p95_ms(provider: str, facts: ProviderFacts) -> int | None:
    return rates.compute_p95_ms(facts.series, provider) if facts.series is not None else None


def describe_activity(activity: Activity, p95_ms: int | None, now: datetime) -> str:
    """`last accepted 3 s ago · p95 240 ms`; the percentile is that of the last 30 minutes, as on the page of queues."""
    if not activity.calls:
        return "no calls yet"
    words = []
    if activity.accepted_at:
        words.append(f"last accepted {_format_age(now, activity.accepted_at)}")
    if p95_ms is not None:
        words.append(f"p95 {format_milliseconds(p95_ms)}")
    if activity.failures and activity.failed_at:
        calls = "call" if activity.failures == 1 else f"{activity.failures} calls"
        words.append(f"last {calls} failed, {_format_age(now, activity.failed_at)}")
    return " · ".join(words)


def _format_age(now: datetime, at: datetime) -> str:
    text = format_rough_duration((now - at).total_seconds())
    return text if text == "now" else f"{text} ago"


def _describe_waiting(count: int) -> str:
    if not count:
        return "Nothing waits for it"
    return f"{count:,} {'message waits' if count == 1 else 'messages wait'}, none is lost"


def _describe_operator(row: PausedRow) -> str:
    words = [row["actor_name"] or "", f"“{row['message']}”" if row["message"] else ""]
    text = ", ".join(filter(None, words))
    return f"{text}. " if text else ""


def _build_paused(service: str, provider: str, row: PausedRow, facts: ProviderFacts) -> Part:
    held_by = f"provider:{provider}"
    waiting = facts.pauses.held.get(held_by, 0)
    label = PROVIDERS[provider].label
    resume = f"/pauses/provider/{provider}/end"
    detail = f"{waiting:,} {'message waits' if waiting == 1 else 'messages wait'}"
    if row["reason"] in OPERATORS_REASONS:
        is_restore = row["reason"] == "restore"
        by = "after a restore" if is_restore else f"by {row['actor_name'] or 'an operator'}"
        title = f"{label} is paused {by if is_restore else 'by an operator'}"
        problem = Problem(
            f"provider_paused:{provider}", service, "notice", title,
            f"{_describe_operator(row)}{_describe_waiting(waiting)}.", "Resume it when it may send again.",
            row["created_at"],
            (Action(f"Resume {label}", resume, "post", primary=True), *_view_waiting(held_by, waiting)),
        )  # fmt: skip
        return _part(service, provider, "paused", detail, figure=f"Paused {by}",
                     since=row["created_at"], problems=(problem,))  # fmt: skip
    if row["reason"] == "timeouts":
        problem = _describe_unanswered(service, provider, row, waiting)
        return _part(service, provider, "failing", detail, figure="Does not answer", since=row["created_at"],
                     problems=(problem,))  # fmt: skip
    problem = Problem(
        f"provider_refused:{provider}", service, "critical", f"{label} is paused: its configuration was refused",
        f"{row['message']} {_describe_waiting(waiting)}; an execution fails after 24 hours.",
        "Correct its credentials. The messages continue automatically once they are accepted.", row["created_at"],
        (
            Action("Configure secrets", build_settings_path(provider), primary=True),
            Action(f"Try {label} now", f"/pauses/provider/{provider}/try", "post"),
            *_view_waiting(held_by, waiting), *_open_portal(provider),
        ),
    )  # fmt: skip
    return _part(service, provider, "failing", detail, figure="Paused for configuration", since=row["created_at"],
                 problems=(problem,))  # fmt: skip


def _describe_unanswered(service: str, provider: str, row: PausedRow, waiting: int) -> Problem:
    label, held_by = PROVIDERS[provider].label, f"provider:{provider}"
    return Problem(
        f"provider_unanswered:{provider}", service, "critical", f"{label} does not answer",
        f"{row['message']} {_describe_waiting(waiting)}, and no attempt is counted.",
        "Check the provider's status page. Every 30 seconds one message tries; an answer continues the others.",
        row["created_at"],
        (
            Action(f"Try {label} now", f"/pauses/provider/{provider}/try", "post", primary=True),
            *_view_waiting(held_by, waiting), *_open_portal(provider),
        ),
    )  # fmt: skip


def _view_waiting(held_by: str, count: int) -> tuple[Action, ...]:
    if not count:
        return ()
    label = f"View {count:,} {'message' if count == 1 else 'messages'}"
    return (Action(label, f"/executions?{urlencode({'heldBy': held_by, 'test': 'false'})}"),)


def _open_portal(provider: str) -> tuple[Action, ...]:
    guide = PROVIDERS[provider].guide
    return (Action(f"Open {urlsplit(guide.url).hostname}", guide.url, external=True),) if guide else ()


def _build_failing(service: str, provider: str, activity: Activity, facts: ProviderFacts) -> Part:
    label = PROVIDERS[provider].label
    error = BY_CLASS[activity.error_class or "network"]
    calls = f"{activity.failures}{'+' if activity.failures >= 200 else ''}"
    accepted = f" It last accepted one {_format_age(facts.now, activity.accepted_at)}." if activity.accepted_at else ""
    problem = Problem(
        f"provider_failing:{provider}", service, "critical", f"{label} is failing",
        f"The last {calls} calls failed. {activity.error_message or error.label}{accepted}",
        error.remedy or f"{error.short_remedy}.",
        activity.failing_since,
        (
            Action("View failures", f"/failures?provider={provider}", primary=True),
            Action(f"Pause {label} …", f"/pauses/provider/{provider}"),
            *_open_portal(provider),
        ),
    )  # fmt: skip
    last = _format_age(facts.now, activity.failed_at or facts.now)
    return _part(service, provider, "failing", f"{error.label} · last call {last}",
                 figure=f"{calls} calls failed", since=activity.failing_since, problems=(problem,))  # fmt: skip


def is_used(provider: str, used: Collection[str]) -> bool:
    """Whether an active automation calls this provider."""
    if provider in TEXT_PROVIDERS:
        return "generate_message" in used
    channels = {channel.name for channel in CHANNELS.values() if channel.provider == provider}
    actions = {name for name, action in ACTIONS.items() if {action.channel, action.call_channel} & channels}
    return bool((channels | actions) & set(used))


def _build_unconfigured(service: str, provider: str, missing: Sequence[str], facts: ProviderFacts) -> Part:
    names = " and ".join(missing)
    detail = f"{names} {'is' if len(missing) == 1 else 'are'} not set"
    if not is_used(provider, facts.used):
        return _part(service, provider, "not_configured", f"{detail} · no active automation uses it")
    entry = PROVIDERS[provider]
    problem = Problem(
        f"not_configured:{provider}", service, "critical", f"{entry.label} is not configured",
        f"Active automations need {entry.feature}. Their executions wait, and fail after 24 hours.",
        f"Set {names}.",
        actions=(Action("Configure secrets", build_settings_path(provider), primary=True),),
    )  # fmt: skip
    return _part(service, provider, "failing", detail, figure="Not configured", problems=(problem,))
