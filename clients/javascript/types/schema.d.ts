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

/** One invalid field: its path, such as `contact.email`, and the reason. */
export interface FieldProblem {
  path: string;
  message: string;
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

/** A trigger of a batch that was not accepted. With `retryAfter`, in seconds, it may be sent again. */
export interface RejectedTrigger {
  index: number;
  status: number;
  retryAfter: number | null;
  errors: Array<FieldProblem>;
}

/** An execution that a trigger started. */
export interface StartedExecution {
  executionId: string;
  automationId: string;
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
