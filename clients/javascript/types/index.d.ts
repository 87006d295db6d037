/** Beckon's client for Node.js: triggers and tracked executions, buffered or with their answer. */
import type { AcceptedTrigger, FieldProblem, ReportedExecution, TrackedExecution, Trigger } from './schema';

export type {
  AcceptedTrigger,
  ContactFields,
  FieldProblem,
  ReportedAction,
  ReportedExecution,
  StartedExecution,
  TrackedExecution,
  Trigger,
} from './schema';

/** Durations are milliseconds. */
export interface ClientOptions {
  /** Where Beckon is; without it `BECKON_URL`. */
  url?: string;
  /** A key with the scopes `trigger` and `track`; without it `BECKON_API_KEY`. */
  apiKey?: string;
  /** Called once for each trigger or execution that was not delivered; without it they are logged. */
  onError?: (error: DeliveryError) => unknown;
  /** Where warnings and errors go; without it `console`. */
  logger?: Pick<Console, 'warn' | 'error'>;
  /** Triggers that are buffered or being sent, and as many executions (10,000). */
  maxBuffered?: number;
  /** Their size as JSON (64 MiB). */
  maxBufferedBytes?: number;
  /** How long a trigger waits for others before a batch is sent (50). */
  lingerMs?: number;
  /** How long one request may take (30,000). */
  requestMs?: number;
  /** How long `triggerNow` and `flush` may take (10,000). */
  nowMs?: number;
  /** How long `close` and the end of the process may take (5,000). */
  exitMs?: number;
  /** Whether SIGTERM and SIGINT empty the buffer before they end the process (true). */
  flushOnSignals?: boolean;
}

export interface CallOptions {
  /** How long the call may take with its retries, in milliseconds. */
  timeoutMs?: number;
  /** Ends the call; its current request may still be accepted. */
  signal?: AbortSignal;
}

/** Counts since the client was created; `buffered` is the number now, with what is being sent. */
export interface Statistics {
  buffered: number;
  accepted: number;
  duplicates: number;
  failed: number;
  retries: number;
}

/** Sends triggers and tracked executions to one Beckon. Create one for the process and share it. */
export class Client {
  /** Throws `InvalidConfigurationError`. */
  constructor(options?: ClientOptions);

  /**
   * Buffer a trigger and return its idempotency key, which is made unless the trigger has one. Returns at once.
   * Throws `BufferFullError`, `InvalidBodyError` and `ClientClosedError`; what Beckon answers later goes to `onError`.
   */
  trigger(trigger: Trigger): string;

  /**
   * Send a trigger and resolve with the answer and its executions. Rejects with `RejectedError`, which names the invalid
   * fields, and with `UnavailableError` if there is no answer in time: the trigger may have been accepted then, and a call
   * with the same `idempotencyKey` does not start it twice.
   */
  triggerNow(trigger: Trigger, options?: CallOptions): Promise<AcceptedTrigger>;

  /** Buffer a tracked execution and return its id, which is made unless it has one; as `trigger`. */
  track(execution: ReportedExecution): string;

  /** Send a tracked execution and resolve with the answer; as `triggerNow`. */
  trackNow(execution: ReportedExecution, options?: CallOptions): Promise<TrackedExecution>;

  /** The counts now. */
  readonly statistics: Statistics;

  /** Wait until everything buffered so far is delivered or given up; false if it takes longer, and then it stays buffered. */
  flush(timeoutMs?: number): Promise<boolean>;

  /** Flush, then take no more. What could not be delivered goes to `onError`; false if there was any. */
  close(timeoutMs?: number): Promise<boolean>;
}

/** Base class of the client's errors. */
export class BeckonError extends Error {}
/** The URL, the key or an option is missing or wrong. */
export class InvalidConfigurationError extends BeckonError {}
/** The trigger or execution cannot be written as JSON, or is larger than 1 MiB. */
export class InvalidBodyError extends BeckonError {}
/** The buffer has no room; what is in it stays. */
export class BufferFullError extends BeckonError {}
/** The client is closed and takes no more. */
export class ClientClosedError extends BeckonError {}

/** One trigger or execution was not delivered. */
export class DeliveryError extends BeckonError {
  readonly detail: string;
  /** The HTTP status, null without an answer. */
  readonly status: number | null;
  /** The invalid fields, with paths from the top of `body`. */
  readonly errors: FieldProblem[];
  /** What was to be sent, with its idempotency key, so that it can be stored and sent again. */
  readonly body: Record<string, unknown>;
  /** After how many milliseconds the server wants to be asked again. */
  readonly retryAfterMs: number | null;
}
/** Beckon refused it, and would refuse the same again. */
export class RejectedError extends DeliveryError {}
/** It was not delivered in time, and may be sent again with the same key. */
export class UnavailableError extends DeliveryError {}
