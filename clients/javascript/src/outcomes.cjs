// What an answer to a batch means for each of its entries. Pure: nothing is sent or counted here.
'use strict';

const { RejectedError } = require('./errors.cjs');
const { isTemporary } = require('./retries.cjs');

/** After so many internal errors in a row the entries are sent apart, so that one of them cannot stop the others. */
const MAX_INTERNAL_ERRORS = 8;

/**
 * What became of a batch: who was delivered, who failed, and what to send again, in groups. `isDelayed` says whether to
 * wait before the next request, and `retryAfterMs` for how long at least. `isStored` is false while execution tracking is
 * switched off: Beckon accepted the entries and stored nothing.
 * @typedef {import('./entries.cjs').Entry} Entry
 * @typedef {import('../types/schema').FieldProblem} FieldProblem
 * @typedef {{delivered: Entry[], accepted: number, duplicates: number, isStored: boolean, failures: [Entry, import('./errors.cjs').DeliveryError][],
 *   again: Entry[][], isDelayed: boolean, retryAfterMs: number | null}} Outcome
 */

/** @param {Partial<Outcome>} fields @returns {Outcome} */
function buildOutcome(fields) {
  return { delivered: [], accepted: 0, duplicates: 0, isStored: true, failures: [], again: [], isDelayed: false, retryAfterMs: null, ...fields };
}

/**
 * The outcome of the batch, at the attempt with this number since the last success.
 * @param {import('./entries.cjs').Kind} kind
 * @param {Entry[]} entries
 * @param {import('./transport.cjs').Answer} answer
 * @param {number} attempt
 */
function judge(kind, entries, answer, attempt) {
  const { status, retryAfterMs } = answer;
  if (status >= 200 && status < 300) return judgeAccepted(kind, entries, answer.body);
  if (isTemporary(status, retryAfterMs) && !(status === 500 && attempt > MAX_INTERNAL_ERRORS)) {
    return buildOutcome({ again: [entries], isDelayed: true, retryAfterMs });
  }
  const byIndex = groupProblems(kind, answer.body.errors);
  if ([400, 422].includes(status) && entries.length > 1 && entries.some((_, index) => byIndex.has(index))) {
    return leaveOut(entries, answer, byIndex);
  }
  if ([400, 413, 422, 500].includes(status) && entries.length > 1) {
    const middle = Math.floor(entries.length / 2);
    return buildOutcome({ again: [entries.slice(0, middle), entries.slice(middle)] });
  }
  const errors = [...byIndex.values()].flat();
  return buildOutcome({ failures: entries.map((entry) => [entry, buildRejection(answer, entry.body, errors)]) });
}

/** @param {import('./entries.cjs').Kind} kind @param {Entry[]} entries @param {Record<string, any>} body */
function judgeAccepted(kind, entries, body) {
  const counts = { accepted: Number(body.accepted ?? 0), duplicates: Number(body.duplicates ?? 0) };
  const outcome = buildOutcome({ ...counts, isStored: body.tracked !== false });
  /** @type {Map<number, any>} */
  const rejected = new Map((body.rejected ?? []).map((/** @type {any} */ rejection) => [rejection.index, rejection]));
  /** @type {Entry[]} */
  const again = [];
  entries.forEach((entry, index) => {
    const rejection = rejected.get(index);
    if (rejection === undefined) {
      outcome.delivered.push(entry);
    } else if (rejection.retryAfter != null) {
      again.push(entry);
      outcome.isDelayed = true;
      outcome.retryAfterMs = rejection.retryAfter * 1000;
    } else {
      const errors = (rejection.errors ?? []).map((/** @type {any} */ problem) => stripPrefix(kind, problem).problem);
      const fields = { status: rejection.status ?? 422, errors, body: entry.body };
      outcome.failures.push([entry, new RejectedError('Beckon rejected this', fields)]);
    }
  });
  if (again.length > 0) outcome.again.push(again);
  return outcome;
}

/**
 * The whole batch was refused for the characters or numbers of some entries: send the others again.
 * @param {Entry[]} entries
 * @param {import('./transport.cjs').Answer} answer
 * @param {Map<number | null, FieldProblem[]>} byIndex
 */
function leaveOut(entries, answer, byIndex) {
  const outcome = buildOutcome({});
  const others = entries.filter((_, index) => !byIndex.has(index));
  entries.forEach((entry, index) => {
    const errors = byIndex.get(index);
    if (errors !== undefined) outcome.failures.push([entry, buildRejection(answer, entry.body, errors)]);
  });
  if (others.length > 0) outcome.again.push(others);
  return outcome;
}

/**
 * The problems by the index of their entry, with paths within it; null for those of no entry.
 * @param {import('./entries.cjs').Kind} kind
 * @param {unknown} problems
 */
function groupProblems(kind, problems) {
  /** @type {Map<number | null, FieldProblem[]>} */
  const byIndex = new Map();
  for (const listed of Array.isArray(problems) ? problems : []) {
    const { index, problem } = stripPrefix(kind, listed);
    byIndex.set(index, [...(byIndex.get(index) ?? []), problem]);
  }
  return byIndex;
}

/** @param {import('./entries.cjs').Kind} kind @param {any} problem */
function stripPrefix(kind, problem) {
  const path = String(problem?.path ?? '');
  const message = String(problem?.message ?? '');
  const match = path.match(new RegExp(`^${kind.listName}\\[(\\d+)\\]\\.?`));
  if (match === null) return { index: null, problem: { path, message } };
  return { index: Number(match[1]), problem: { path: path.slice(match[0].length), message } };
}

/**
 * The error of an answer that no retry can change.
 * @param {import('./transport.cjs').Answer} answer
 * @param {Record<string, unknown>} body
 * @param {FieldProblem[]} errors
 */
function buildRejection(answer, body, errors) {
  const { status, retryAfterMs } = answer;
  const redirects = 'The URL redirects elsewhere, and the key is not sent there. Set BECKON_URL to the final address.';
  const detail = status >= 300 && status < 400 ? redirects : String(answer.body.detail ?? 'Beckon refused the request.');
  return new RejectedError(detail, { status, errors, body, retryAfterMs });
}

module.exports = { buildOutcome, buildRejection, groupProblems, judge };
