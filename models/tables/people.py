"""People, their roles in workspaces, and how they sign in."""

from __future__ import annotations

from typing import Literal

import peewee

from models.tables.fields import (
    NOW,
    BooleanField,
    BytesField,
    EnumField,
    IdField,
    Table,
    TextField,
    TimeField,
    index,
    reference,
    unique_index,
)
from models.tables.workspaces import ActorKind, Workspace

Role = Literal["owner", "operator", "viewer"]


class User(Table):
    """A person who signs in. The e-mail address is unique regardless of case."""

    id = IdField(primary_key=True)
    email = TextField(null=True)
    name = TextField(default_sql="''")
    password_hash = TextField()
    created_at = TimeField(default_sql=NOW)
    deployment_owner = BooleanField(default_sql="false")
    verified_at = TimeField(null=True)

    class Meta:
        table_name = "users"
        indexes = (unique_index("users_email on users (lower(email))"),)


class Membership(Table):
    """A person's role in a workspace."""

    workspace_id = reference(Workspace)
    user_id = reference(User)
    role = EnumField(Role)
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "memberships"
        primary_key = peewee.CompositeKey("workspace_id", "user_id")
        indexes = (index("memberships_user on memberships (user_id)"),)


class Session(Table):
    """A signed-in browser. The cookie holds the token, this table only its hash."""

    token_hash = BytesField(primary_key=True)
    user_id = reference(User)
    workspace_id = reference(Workspace)
    created_at = TimeField(default_sql=NOW)
    expires_at = TimeField()
    used_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "sessions"
        indexes = (index("sessions_expires on sessions (expires_at)"),)


class Invitation(Table):
    """An invitation to a workspace, with the hashes of its two links: one is shown to the inviter, one is mailed."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    email = TextField()
    role = EnumField(Role)
    deployment_owner = BooleanField(default_sql="false")
    shown_hash = BytesField(unique=True)
    mailed_hash = BytesField(unique=True)
    actor_kind = EnumField(ActorKind)
    actor_id = IdField(null=True)
    actor_name = TextField()
    created_at = TimeField(default_sql=NOW)
    expires_at = TimeField()

    class Meta:
        table_name = "invitations"
        indexes = (unique_index("invitations_address on invitations (workspace_id, email)"),)


class PasswordReset(Table):
    """A link to set a new password, at most one for each person."""

    token_hash = BytesField(primary_key=True)
    user_id = reference(User, unique=True)
    expires_at = TimeField()

    class Meta:
        table_name = "password_resets"
