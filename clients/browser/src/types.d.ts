/** The shapes that the modules share. `GET /api/playbooks` answers with `PlaybookList`. */

export type Device = "desktop" | "mobile" | "tablet";

/** The conditions of a playbook. An absent key is no condition; all present ones must hold. */
export interface Trigger {
  url?: string;
  device?: Device[];
  utm?: Record<string, string>;
  scrollDepth?: number;
  timeOnPageMs?: number;
  exitIntent?: boolean;
  returning?: boolean;
  event?: string;
}

export type Condition = keyof Trigger;

/** At most `max` executions for one visitor in any `perMs` milliseconds; without `perMs`, ever. */
export interface Frequency {
  max: number;
  perMs?: number;
}

export interface Action {
  id: string;
  /** One of the nine names of the playbook language, such as `replace_text`. */
  action: string;
  /** The name that is tracked, such as `Replace Text`. */
  name: string;
  /** Its fields. They come from the server and may be of any type. */
  with: Record<string, any>;
}

export interface Playbook {
  id: string;
  name: string;
  version: number;
  trigger: Trigger;
  frequency?: Frequency;
  actions: Action[];
}

export interface PlaybookList {
  /** False while execution tracking is switched off: nothing is sent. */
  tracking: boolean;
  playbooks: Playbook[];
}

/** What the conditions are compared with: the page as it is being viewed. */
export interface PageView {
  /** The address of the page. */
  url: string;
  device: Device;
  /** The UTM parameters of the landing page, without their prefix. */
  utm: Record<string, string>;
  returning: boolean;
  /** The greatest depth reached, in percent of what can be scrolled. */
  scrollDepth: number;
  /** The time that the page was visible, in milliseconds. */
  timeOnPageMs: number;
  exitIntent: boolean;
  /** The names of the events emitted so far. */
  events: string[];
}

/** The result of one action. */
export interface ActionResult {
  /** The number of elements that matched; 1 for an action without a selector. */
  matches: number;
  executionTimeMs: number;
  /** Why the action failed; absent if it did not. */
  error?: string;
}

export interface TrackedAction {
  name: string;
  selector?: string;
  executionTimeMs: number;
  config: Record<string, unknown>;
  error?: string;
}

/** The body of `POST /api/track-execution`. */
export interface TrackedExecution {
  executionId: string;
  workflowId: string;
  userId: string | null;
  status: "success" | "error" | "timeout";
  executionTimeMs: number;
  pageUrl: string;
  sessionId: string;
  deviceType: Device;
  triggerName: string;
  actions: TrackedAction[];
}

export interface Session {
  id: string;
  /** The time of the last page of the session, in milliseconds. */
  at: number;
  utm: Record<string, string>;
  returning: boolean;
}
