"""The actions of the audit log in words, by name, for pages. A name is the kind of the object and what happened to it.

A name without a row here is shown by its own words; `tests/dashboard/test_audit_log.py` finds those in the code.
"""

from __future__ import annotations

#: What the actor did, as the rest of a sentence that begins with the actor's name.
PHRASES: dict[str, str] = {
    "account.connected": "connected an account",
    "account.disconnected": "disconnected an account",
    "account.renewed": "replaced an account's token",
    "automation.created": "created an automation",
    "automation.deleted": "deleted an automation",
    "automation.disabled": "turned an automation off",
    "automation.enabled": "turned an automation on",
    "automation.executions_moved": "moved executions of an automation to its published version",
    "automation.experiment_ended": "ended an experiment of an automation",
    "automation.hook_renewed": "replaced an automation's hook URL",
    "automation.paused": "paused an automation",
    "automation.published": "published a version of an automation",
    "automation.renamed": "renamed an automation",
    "automation.resumed": "resumed an automation",
    "automation.ticks_skipped": "skipped scheduled times of an automation",
    "channel.changed": "changed the credentials of a channel",
    "channel.tested": "tested the credentials of a channel",
    "contact.changed": "changed a contact",
    "contact.created": "created a contact",
    "contact.deleted": "deleted a contact",
    "contact.erased": "erased a contact",
    "contact.merged": "merged a contact into another",
    "contact.exported": "exported everything that is kept of a contact",
    "contact.suppressed": "suppressed a contact on a channel",
    "contact.suppression_lifted": "lifted a suppression of a contact",
    "contact.task_done": "marked a contact's task as done",
    "contact.task_reopened": "reopened a contact's task",
    "contacts.imported": "imported contacts",
    "execution.cancelled": "cancelled an execution",
    "execution.follow_ups_stopped": "stopped the follow-ups of an execution",
    "execution.retried": "retried an execution",
    "executions.cancel": "cancelled executions in bulk",
    "executions.discard": "discarded executions in bulk",
    "executions.processed": "processed pending executions",
    "executions.retry": "retried executions in bulk",
    "invitation.accepted": "accepted an invitation",
    "invitation.created": "invited a person",
    "invitation.revoked": "revoked an invitation",
    "key.issued": "created an API key",
    "key.revoked": "revoked an API key",
    "member.removed": "removed a member",
    "member.role_changed": "changed the role of a member",
    "message.approved": "approved a message",
    "message.discard": "discarded a message of unknown outcome",
    "message.look_up": "asked a provider about a message of unknown outcome",
    "message.rejected": "rejected a message",
    "message.resend": "resent a message of unknown outcome",
    "message.sent": "marked a message as sent",
    "model.changed": "changed the AI model settings",
    "possible_opt_out.dismissed": "dismissed a possible opt-out",
    "possible_opt_out.suppressed": "suppressed the contact of a possible opt-out",
    "provider.draining": "began to drain a provider",
    "provider.paused": "paused a provider",
    "provider.resumed": "resumed a provider",
    "provider.tried": "tried a paused provider with one message",
    "queue.draining": "began to drain a queue",
    "queue.paused": "paused a queue",
    "queue.resumed": "resumed a queue",
    "sends.checked": "checked which messages left since the backup",
    "sends.paused": "paused every send after a restore",
    "sends.resumed": "resumed every send after a restore",
    "delivery.changed": "changed the delivery policy",
    "retention.changed": "changed how long history is kept",
    "sender.changed": "changed the sender identity",
    "site_key.issued": "created a site key",
    "site_key.revoked": "revoked a site key",
    "suppression.added": "suppressed an address",
    "suppression.lifted": "lifted the suppression of an address",
    "suppressions.imported": "imported suppressed addresses",
    "switch.off": "turned a switch off",
    "switch.on": "turned a switch on",
    "test_run.cancelled": "cancelled a test run",
    "test_run.started": "started a test run",
    "user.password_changed": "changed their password",
    "user.password_reset": "set a new password with a reset link",
    "user.renamed": "changed their name",
    "user.reset_issued": "issued a password reset link",
    "user.sign_in_failed": "recorded failed sign-ins",
    "user.signed_in": "signed in",
    "webhook_secret.rotated": "replaced the signing secret of outgoing webhooks",
    "workspace.created": "created the workspace",
}

#: The kinds of objects, as filters name them.
OBJECT_KINDS: dict[str, str] = {
    "account": "Account",
    "automation": "Automation",
    "channel": "Channel",
    "contact": "Contact",
    "execution": "Execution",
    "invitation": "Invitation",
    "key": "API key",
    "message": "Message",
    "operation": "Bulk action",
    "possible_opt_out": "Possible opt-out",
    "provider": "Provider",
    "queue": "Queue",
    "settings": "Settings",
    "site_key": "Site key",
    "suppression": "Suppression",
    "switch": "Switch",
    "test_run": "Test run",
    "user": "Member",
    "workspace": "Workspace",
}


def describe_action(action: str) -> str:
    """Return the action in words."""
    return PHRASES.get(action) or action.replace(".", " ").replace("_", " ")


def group_actions() -> dict[str, dict[str, str]]:
    """Return the actions in words by the kind in their name, for a filter."""
    groups: dict[str, dict[str, str]] = {}
    for action, phrase in PHRASES.items():
        groups.setdefault(action.split(".")[0], {})[action] = phrase
    return groups
