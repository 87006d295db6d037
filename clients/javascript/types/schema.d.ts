// Types of the API, generated from its OpenAPI document by `make clients`; do not edit.

/** What became of each trigger of a batch. */
export interface AcceptedBatch {
  success: true;
  accepted: number;
  duplicates: number;
  rejected: Array<RejectedTrigger>;
  results: Array<BatchResult>;
}

/** An accepted trigger; a repeated key has the first answer and `duplicate: true`. */
export interface AcceptedTrigger {
  success: true;
  triggerId: string;
  contactId: string | null;
  duplicate: boolean;
  executions: Array<StartedExecution>;
  notChosen: Array<NotChosenAutomation>;
}

/** Several triggers; each is validated separately. */
export interface Batch {
  triggers: Array<Trigger>;
}

/** An accepted trigger, by its position in the batch. */
export interface BatchResult {
  index: number;
  triggerId: string;
  contactId: string | null;
  duplicate: boolean;
  executions: Array<StartedExecution>;
  notChosen: Array<NotChosenAutomation>;
}

/** The fields of a contact; null clears a field, and an absent one stays. */
export interface ContactFields {
  externalId?: string | null;
  firstName?: string | null;
  lastName?: string | null;
  username?: string | null;
  email?: string | null;
  phone?: string | null;
  facebookId?: string | null;
  instagramId?: string | null;
  timezone?: string | null;
  tags?: Array<string> | null;
  attributes?: Record<string, unknown> | null;
}

/** Several executions; each is validated separately. */
export interface ExecutionReports {
  executions: Array<ReportedExecution>;
}

/** One invalid field: its path, such as `contact.email`, and the reason. */
export interface FieldProblem {
  path: string;
  message: string;
}

/** An automation that matches a comment or message and leaves it to a more specific or older one. */
export interface NotChosenAutomation {
  automationId: string;
  because: "less_specific" | "newer";
}

/** An error (RFC 9457), with the invalid fields. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  success: false;
  errors: Array<FieldProblem>;
}

/** An execution of a batch that was not tracked, by its position in the batch. */
export interface RejectedExecution {
  index: number;
  status: number;
  errors: Array<FieldProblem>;
}

/** A trigger of a batch that was not accepted. With `retryAfter`, in seconds, it may be sent again. */
export interface RejectedTrigger {
  index: number;
  status: number;
  retryAfter: number | null;
  errors: Array<FieldProblem>;
}

/** One action of a reported execution; `error` says why it failed. */
export interface ReportedAction {
  name: string;
  selector?: string | null;
  executionTimeMs?: number | null;
  config?: Record<string, unknown> | null;
  error?: string | null;
}

/** One execution of a playbook. With an `executionId` the report can be repeated without being counted twice. */
export interface ReportedExecution {
  executionId?: string | null;
  workflowId: string;
  userId?: string | null;
  status?: "success" | "error" | "timeout";
  executionTimeMs?: number | null;
  pageUrl?: string | null;
  sessionId?: string | null;
  deviceType?: "desktop" | "mobile" | "tablet" | null;
  triggerName?: string | null;
  actions?: Array<ReportedAction>;
}

/** An execution that a trigger started. */
export interface StartedExecution {
  executionId: string;
  automationId: string;
}

/** What became of each execution of a batch. */
export interface TrackedBatch {
  success: true;
  accepted: number;
  duplicates: number;
  rejected: Array<RejectedExecution>;
  results: Array<TrackedResult>;
  tracked: boolean;
}

/** A tracked execution. `tracked` is false while execution tracking is switched off: nothing was stored. */
export interface TrackedExecution {
  success: true;
  executionId: string;
  message: string;
  duplicate: boolean;
  tracked: boolean;
}

/** A tracked execution, by its position in the batch. */
export interface TrackedResult {
  index: number;
  executionId: string;
  duplicate: boolean;
}

/** One trigger in a request. */
export interface Trigger {
  type: string;
  contact?: ContactFields | null;
  contactId?: string | null;
  payload?: Record<string, unknown>;
  automationId?: string | null;
  test?: boolean;
  idempotencyKey?: string | null;
}
