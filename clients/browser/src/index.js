/**
 * The script of customers' pages:
 * `<script src="https://…/beckon.js" data-site-key="…" defer></script>`.
 * It sets `window.workflowSystem`, and `window.WorkflowExecutor` for pages that start it themselves.
 */
import { attempt, guard, isDebug, messageOf, setDebug, warn } from "./guard.js";
import { PlaybookSystem } from "./system.js";

/** Set by the build. @type {string} */
const VERSION = /** @type {any} */ (globalThis).BECKON_VERSION;
const page = /** @type {any} */ (window);

const script = /** @type {HTMLScriptElement | null} */ (
  document.currentScript || document.querySelector("script[data-site-key]")
);
/** @type {PlaybookSystem | null} */
let system = null;

function findOrigin() {
  return new URL(script && script.src ? script.src : location.href).origin;
}

/** Load the preview's own script; its address passes a policy where the page demands Trusted Types. */
function loadPreview() {
  const url = `${findOrigin()}/browser/beckon-preview-${VERSION}.js`;
  const element = document.createElement("script");
  const policy = attempt(() => page.trustedTypes.createPolicy("beckon", { createScriptURL: () => url }), null);
  element.src = policy ? policy.createScriptURL(url) : url;
  element.dataset.siteKey = (script && script.dataset.siteKey) || "";
  document.head.append(element);
}

/** Whether an operator's editor has opened this page to show a draft. */
function isPreview() {
  return new URLSearchParams(location.search).has("beckon_preview") && (!!window.opener || window.parent !== window);
}

/** Start the playbooks of a site, once. @param {unknown} siteKey */
function start(siteKey) {
  if (system || typeof siteKey !== "string" || !siteKey) return;
  if (isPreview()) return loadPreview();
  system = new PlaybookSystem(findOrigin(), siteKey);
  const { document: root } = window;
  // A page that the browser only prepares is not yet seen by anybody.
  if (/** @type {any} */ (root).prerendering) root.addEventListener("prerenderingchange", guard(begin), { once: true });
  else begin();
}

function begin() {
  if (system) system.start();
}

/** @param {(system: PlaybookSystem) => void} call */
const withSystem = (call) => attempt(() => (system ? call(system) : undefined), undefined);

const workflowSystem = {
  version: VERSION,
  config: {
    get debug() {
      return isDebug();
    },
    set debug(value) {
      setDebug(!!value);
    },
  },
  /** Emit an event that playbooks wait for. @param {string} name */
  emit: (name) => withSystem((current) => current.emit(String(name))),
  /** Say whether the visitor lets executions be sent and stored. @param {boolean} isGiven */
  consent: (isGiven) => withSystem((current) => current.setConsent(isGiven === true)),
  /** Name the visitor in the executions that follow; null ends it. @param {string | null} userId */
  identify: (userId) =>
    withSystem((current) => (current.userId = userId === null || userId === undefined ? null : String(userId).slice(0, 200))),
};

/** The older entry point: `new WorkflowExecutor({siteKey, debug}).run()`. */
class WorkflowExecutor {
  /** @param {{ siteKey?: string, debug?: boolean }} [options] */
  constructor(options) {
    this.options = options || {};
  }

  run() {
    attempt(() => {
      if (this.options.debug) setDebug(true);
      start(this.options.siteKey);
    }, undefined);
  }
}

try {
  const previous = page.workflowSystem;
  if (!previous || !previous.version) {
    if (previous && previous.config && previous.config.debug) setDebug(true);
    page.workflowSystem = workflowSystem;
    page.WorkflowExecutor = WorkflowExecutor;
    start(script && script.dataset.siteKey);
  }
} catch (error) {
  warn(messageOf(error));
}
