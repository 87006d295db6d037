"""The tables, as peewee models: one class for each, with its columns, keys, indexes and closed lists of values.

The migrations create the schema; these classes describe it for the queries, and a test compares the two catalogs. They
stand apart from the modules that change rows, because a query joins tables of many modules.
"""

from models.tables.automations import Automation, AutomationSchedule, WorkflowVersion
from models.tables.contacts import (
    Account,
    AddressKey,
    Contact,
    ContactTask,
    Conversation,
    EmailRecipient,
    HelpReply,
    PossibleOptOut,
    ReceivedMessage,
    SuppressedAddress,
    SuppressedTopic,
    Suppression,
)
from models.tables.executions import (
    Execution,
    IdempotencyKey,
    Message,
    MessageLink,
    PrivateReply,
    StageHistory,
    Step,
    Trigger,
)
from models.tables.fields import Table
from models.tables.inbound import InboundEvent, WebhookToken
from models.tables.limits import CapReservation, LimitCount, LimitReservation
from models.tables.people import Invitation, Membership, PasswordReset, Session, User
from models.tables.scheduler import Deployment, Leadership, PeriodicJob, SchemaHash
from models.tables.statistics import (
    AnalyticsChange,
    AnalyticsTally,
    AutomationRun,
    LatenessSample,
    MessageResponse,
    RunWindow,
    StageTally,
    TallyProgress,
)
from models.tables.test_runs import TestRun
from models.tables.tracking import AnalyticsEvent, TrackedExecutionId, TrackingIntake, WorkflowExecution
from models.tables.workspaces import (
    ApiKey,
    AuditEntry,
    ChannelCredential,
    ContactImportBatch,
    LookUpRefusal,
    ModelSettings,
    Operation,
    OperationExecution,
    Pause,
    ProviderBreaker,
    SiteKey,
    Workspace,
)

__all__ = [
    "TABLES", "Account", "AddressKey", "AnalyticsChange", "AnalyticsEvent", "AnalyticsTally", "ApiKey",
    "AuditEntry", "Automation", "AutomationRun", "AutomationSchedule", "CapReservation", "ChannelCredential",
    "Contact", "ContactImportBatch", "ContactTask", "Conversation", "Deployment", "EmailRecipient", "Execution",
    "HelpReply", "IdempotencyKey", "InboundEvent", "Invitation", "LatenessSample", "Leadership", "LimitCount",
    "LimitReservation", "LookUpRefusal", "Membership", "Message", "MessageLink", "MessageResponse", "ModelSettings",
    "Operation", "OperationExecution", "PasswordReset", "Pause", "PeriodicJob", "PossibleOptOut", "PrivateReply",
    "ProviderBreaker", "ReceivedMessage", "RunWindow", "SchemaHash", "Session", "SiteKey", "StageHistory",
    "StageTally", "Step", "SuppressedAddress", "SuppressedTopic", "Suppression", "Table", "TallyProgress",
    "TestRun", "TrackedExecutionId", "TrackingIntake", "Trigger", "User", "WebhookToken", "WorkflowExecution",
    "WorkflowVersion", "Workspace",
]  # fmt: skip

#: Every table, each after the tables that it refers to.
TABLES: tuple[type[Table], ...] = (
    Workspace, ModelSettings, ChannelCredential, ApiKey, SiteKey, AuditEntry, Operation, OperationExecution,
    ContactImportBatch, Pause, LookUpRefusal, ProviderBreaker, User, Membership, Session, Invitation, PasswordReset,
    Contact, Account, Conversation, ReceivedMessage, ContactTask, Suppression, SuppressedAddress, SuppressedTopic,
    AddressKey, PossibleOptOut, HelpReply, EmailRecipient, TestRun, Automation, WorkflowVersion, AutomationSchedule,
    Trigger, IdempotencyKey, Execution, Step, Message, MessageLink, StageHistory, PrivateReply, CapReservation,
    LimitCount, LimitReservation, AutomationRun, RunWindow, StageTally, TallyProgress, LatenessSample,
    AnalyticsChange, AnalyticsTally, MessageResponse, InboundEvent, WebhookToken, PeriodicJob, Leadership,
    Deployment, SchemaHash, TrackingIntake, TrackedExecutionId, WorkflowExecution, AnalyticsEvent,
)  # fmt: skip
