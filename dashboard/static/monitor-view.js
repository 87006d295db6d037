// Draws a snapshot of the monitor into the page that the server rendered. Each execution keeps its node, so nothing
// flickers and the focus stays. Also holds the filters by stage and name.

const filters = { stage: null, name: "" };
let current = null;
let receivedAt = null;

/** `0:08`, `12:33`, `1:02:03`, `2 d 4 h`, as the template filter `elapsed` formats it. */
export function formatElapsed(seconds) {
  const hours = Math.floor(seconds / 3600);
  const pad = (number) => String(number).padStart(2, "0");
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(Math.floor(seconds) % 60)}` : `${minutes}:${pad(Math.floor(seconds) % 60)}`;
}

const formatCount = (number) => number.toLocaleString("en-US");

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function formatRough(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(1, Math.floor(seconds))} s`;
}

/** Show this snapshot. `since` is when it was received (performance.now), or null where the time does not advance. */
export function draw(root, snapshot, since) {
  addFilterListeners(root);
  current = snapshot;
  receivedAt = since;
  for (const stage of snapshot.stages) drawStage(root, stage);
  const fact = (name) => root.querySelector(`[data-fact="${name}"]`);
  setText(fact("active"), formatCount(snapshot.totals.active));
  setText(fact("total"), formatCount(snapshot.totals.active));
  setText(fact("says"), snapshot.totals.says);
  setText(fact("backlog"), snapshot.backlog.title);
  setText(fact("backlog-text"), snapshot.backlog.words);
  drawReasons(root, snapshot.skipped);
  drawContacts(root);
}

/** Advance the times that are shown; call it every second. */
export function tick(root) {
  if (!current || receivedAt === null) return;
  const passed = Math.floor((performance.now() - receivedAt) / 1000);
  const nodes = new Map([...root.querySelectorAll(".monitor-contacts > li")].map((node) => [node.dataset.execution, node]));
  for (const contact of current.contacts) {
    const node = nodes.get(contact.executionId);
    if (node) drawTimes(node, contact, passed);
  }
}

function drawTimes(node, contact, passed) {
  setText(node.querySelector(".since"), formatElapsed(contact.secondsInStage + passed));
  const isScheduled = contact.sendsInSeconds !== null && contact.status === "waiting" && contact.next.startsWith("Sends");
  const left = isScheduled ? contact.sendsInSeconds - passed : 0;
  setText(node.querySelector(".next"), isScheduled && left > 0 ? `Sends in ${formatRough(left)}` : contact.next);
}

function drawStage(root, stage) {
  const node = root.querySelector(`.stage-card[data-stage="${stage.stage}"]`);
  setText(node.querySelector("strong"), formatCount(stage.count));
  setText(node.querySelector("small"), stage.says);
  const top = Math.max(1, ...stage.trend);
  const points = stage.trend.map((point, number) => `${((92 * number) / (stage.trend.length - 1)).toFixed(1)},${(17 - (16 * point) / top).toFixed(1)}`);
  const line = node.querySelector("polyline");
  if (line.getAttribute("points") !== points.join(" ")) line.setAttribute("points", points.join(" "));
}

function drawContacts(root) {
  const list = root.querySelector(".monitor-contacts");
  const contacts = current.contacts.filter(
    (contact) => (!filters.stage || contact.stage === filters.stage) && contact.name.toLowerCase().includes(filters.name),
  );
  const unused = new Map([...list.children].map((node) => [node.dataset.execution, node]));
  let previous = null;
  let previousActive = true;
  for (const contact of contacts) {
    const node = unused.get(contact.executionId) || root.querySelector("#contact-row").content.firstElementChild.cloneNode(true);
    unused.delete(contact.executionId);
    drawContact(node, contact);
    const nextNode = previous ? previous.nextElementSibling : list.firstElementChild;
    // A moved node loses the focus: move only where the order changes.
    if (nextNode !== node) list.insertBefore(node, nextNode);
    node.classList.toggle("rest", !contact.inMotion && previousActive);
    previousActive = contact.inMotion;
    previous = node;
  }
  for (const node of unused.values()) node.remove();
  drawListState(root, contacts);
}

function drawContact(node, contact) {
  node.dataset.execution = contact.executionId;
  const link = node.firstElementChild;
  if (link.getAttribute("href") !== `/executions/${contact.executionId}`) link.href = `/executions/${contact.executionId}`;
  setText(node.querySelector(".face"), contact.name.split(/\s+/).slice(0, 2).map((word) => word[0]).join("").toUpperCase());
  setText(node.querySelector(".who strong"), contact.name);
  const badge = node.querySelector(".badge");
  badge.hidden = !contact.test && !contact.demo;
  setText(badge, contact.demo ? "demo" : "test");
  const says = node.querySelector(".says");
  says.classList.toggle("bad", contact.error !== null);
  if (says.title !== contact.says) says.title = contact.says;
  setText(says, contact.says);
  if (node.dataset.stage !== contact.stage) {
    node.dataset.stage = contact.stage;
    node.querySelector(".pill").className = `pill stage-${contact.stage}`;
    const use = node.querySelector(".pill use");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*$/, `#${contact.stage}`));
  }
  setText(node.querySelector(".pill > span"), contact.title);
  setText(node.querySelector(".rounds"), contact.followUp.max ? `${contact.followUp.count}/${contact.followUp.max}` : "");
  setText(node.querySelector(".wrote"), contact.generationMs === null ? "" : `${formatCount(contact.generationMs)} ms`);
  drawTimes(node, contact, 0);
}

function drawListState(root, contacts) {
  const stage = filters.stage && current.stages.find((candidate) => candidate.stage === filters.stage);
  const all = stage ? stage.count : current.totals.last24Hours;
  const text = `${formatCount(contacts.length)} of ${formatCount(all)} listed${stage ? ` · ${stage.title}` : ""}`;
  setText(root.querySelector('[data-fact="listed"]'), text);
  const notice = root.querySelector(".no-contacts");
  notice.hidden = contacts.length > 0;
  root.querySelector(".monitor-headings").hidden = !notice.hidden;
  if (notice.hidden) return;
  const empty = !current.contacts.length;
  setText(notice.querySelector("h2"), empty ? "No active contacts" : "No matching contacts");
  setText(notice.querySelector("p"), empty
    ? "Contacts appear here when a trigger starts this automation. Use “Test Trigger” to start it now."
    : all && !filters.name ? `None of these ${formatCount(all)} is among the 100 contacts listed.` : "No listed contact matches the filter.");
  notice.querySelector("a").href = root.dataset.executions + (stage ? `&stage=${stage.stage}` : "");
}

function drawReasons(root, skipped) {
  const list = root.querySelector(".reasons");
  while (list.children.length > skipped.length) list.lastElementChild.remove();
  while (list.children.length < skipped.length) {
    list.append(root.querySelector("#reason-row").content.firstElementChild.cloneNode(true));
  }
  skipped.forEach((group, number) => {
    const node = list.children[number];
    setText(node.querySelector("strong"), group.title);
    setText(node.querySelector(".count"), formatCount(group.count));
    setText(node.querySelector("small"), group.words);
    node.querySelector("rect").setAttribute("width", ((100 * group.count) / skipped[0].count).toFixed(1));
  });
  root.querySelector(".no-reasons").hidden = skipped.length > 0;
}

// The URL keeps the selected stage, so that it survives a reload.
let hasListeners = false;
function addFilterListeners(root) {
  if (hasListeners) return;
  hasListeners = true;
  const selected = root.querySelector(".stage-card[aria-current]");
  filters.stage = selected ? selected.dataset.stage : null;
  root.querySelector(".stages").addEventListener("click", (event) => {
    const node = event.target.closest(".stage-card");
    if (!node || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    selectStage(root, filters.stage === node.dataset.stage ? null : node.dataset.stage);
  });
  root.querySelector(".all-stages").addEventListener("click", (event) => {
    event.preventDefault();
    selectStage(root, null);
  });
  root.querySelector("input[type=search]").addEventListener("input", (event) => {
    filters.name = event.target.value.trim().toLowerCase();
    drawContacts(root);
  });
}

function selectStage(root, stage) {
  filters.stage = stage;
  for (const node of root.querySelectorAll(".stage-card")) {
    if (node.dataset.stage === stage) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
  }
  root.querySelector(".all-stages").hidden = !stage;
  const url = new URL(location.href);
  if (stage) url.searchParams.set("stage", stage);
  else url.searchParams.delete("stage");
  history.replaceState(null, "", url);
  drawContacts(root);
}
