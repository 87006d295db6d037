// Draws a snapshot of the monitor into the page that the server made: the same nodes stay for the same executions, so
// that nothing flickers and what has the focus keeps it. Also holds which stage and which names are asked for.

const chosen = { stage: null, name: "" };
let shown = null;
let shownSince = null;

/** `0:08`, `12:33`, `1:02:03`, `2 d 4 h`: the twin of the template's filter. */
export function elapsed(seconds) {
  const hours = Math.floor(seconds / 3600);
  const two = (number) => String(number).padStart(2, "0");
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(Math.floor(seconds) % 60)}` : `${minutes}:${two(Math.floor(seconds) % 60)}`;
}

const figure = (number) => number.toLocaleString("en-US");

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function rough(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(1, Math.floor(seconds))} s`;
}

/** Show this snapshot; `since` is when it was heard (performance.now), or null where time stands still. */
export function drawn(root, snapshot, since) {
  choose(root);
  shown = snapshot;
  shownSince = since;
  for (const one of snapshot.stages) station(root, one);
  const fact = (name) => root.querySelector(`[data-fact="${name}"]`);
  say(fact("active"), figure(snapshot.totals.active));
  say(fact("says"), snapshot.totals.says);
  say(fact("backlog"), snapshot.backlog.title);
  say(fact("backlog-words"), snapshot.backlog.words);
  reasons(root, snapshot.skipped);
  standers(root);
}

/** A second has passed. */
export function ticked(root) {
  if (!shown || shownSince === null) return;
  const passed = Math.floor((performance.now() - shownSince) / 1000);
  const nodes = new Map([...root.querySelectorAll(".standers > li")].map((node) => [node.dataset.execution, node]));
  for (const one of shown.contacts) {
    const node = nodes.get(one.executionId);
    if (node) times(node, one, passed);
  }
}

function times(node, one, passed) {
  say(node.querySelector(".since"), elapsed(one.secondsInStage + passed));
  const waits = one.sendsInSeconds !== null && one.status === "waiting" && one.next.startsWith("sends");
  const left = waits ? one.sendsInSeconds - passed : 0;
  say(node.querySelector(".next"), waits && left > 0 ? `sends in ${rough(left)}` : one.next);
}

function station(root, one) {
  const node = root.querySelector(`.station[data-stage="${one.stage}"]`);
  say(node.querySelector("strong"), figure(one.count));
  say(node.querySelector("small"), one.says);
  const top = Math.max(1, ...one.trend);
  const points = one.trend.map((point, number) => `${((92 * number) / (one.trend.length - 1)).toFixed(1)},${(17 - (16 * point) / top).toFixed(1)}`);
  const line = node.querySelector("polyline");
  if (line.getAttribute("points") !== points.join(" ")) line.setAttribute("points", points.join(" "));
}

function standers(root) {
  const list = root.querySelector(".standers");
  const wanted = shown.contacts.filter(
    (one) => (!chosen.stage || one.stage === chosen.stage) && one.name.toLowerCase().includes(chosen.name),
  );
  const known = new Map([...list.children].map((node) => [node.dataset.execution, node]));
  let before = null;
  let moving = true;
  for (const one of wanted) {
    const node = known.get(one.executionId) || root.querySelector("#stander").content.firstElementChild.cloneNode(true);
    known.delete(one.executionId);
    stander(node, one);
    const place = before ? before.nextElementSibling : list.firstElementChild;
    // Moving a node takes the focus from it: what already stands right is left alone.
    if (place !== node) list.insertBefore(node, place);
    node.classList.toggle("rest", !one.inMotion && moving);
    moving = one.inMotion;
    before = node;
  }
  for (const node of known.values()) node.remove();
  told(root, wanted);
}

function stander(node, one) {
  node.dataset.execution = one.executionId;
  const link = node.firstElementChild;
  if (link.getAttribute("href") !== `/executions/${one.executionId}`) link.href = `/executions/${one.executionId}`;
  say(node.querySelector(".face"), one.name.split(/\s+/).slice(0, 2).map((word) => word[0]).join("").toUpperCase());
  say(node.querySelector(".who strong"), one.name);
  node.querySelector(".badge").hidden = !one.test;
  const says = node.querySelector(".says");
  says.classList.toggle("bad", one.error !== null);
  if (says.title !== one.says) says.title = one.says;
  say(says, one.says);
  if (node.dataset.stage !== one.stage) {
    node.dataset.stage = one.stage;
    node.querySelector(".pill").className = `pill stage-${one.stage}`;
    const use = node.querySelector(".pill use");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*$/, `#${one.stage}`));
  }
  say(node.querySelector(".pill > span"), one.title);
  say(node.querySelector(".rounds"), one.followUp.max ? `${one.followUp.count}/${one.followUp.max}` : "");
  say(node.querySelector(".wrote"), one.generationMs === null ? "" : `${figure(one.generationMs)} ms`);
  times(node, one, 0);
}

function told(root, wanted) {
  const stage = chosen.stage && shown.stages.find((one) => one.stage === chosen.stage);
  const all = stage ? stage.count : shown.totals.last24Hours;
  const words = `${figure(wanted.length)} of ${figure(all)} listed${stage ? ` · ${stage.title}` : ""}`;
  say(root.querySelector('[data-fact="shown"]'), words);
  const nobody = root.querySelector(".nobody");
  nobody.hidden = wanted.length > 0;
  if (nobody.hidden) return;
  const empty = !shown.contacts.length;
  say(nobody.querySelector("h2"), empty ? "Nobody is on the way" : "Nobody here now");
  say(nobody.querySelector("p"), empty
    ? "Whoever this automation writes to appears here, from the queue to the message. Start it with “Test trigger”, or wait for its trigger."
    : all && !chosen.name ? `None of these ${figure(all)} is among the hundred that are listed.` : "No listed contact matches what you chose.");
  nobody.querySelector("a").href = root.dataset.executions + (stage ? `&stage=${stage.stage}` : "");
}

function reasons(root, skipped) {
  const list = root.querySelector(".reasons");
  while (list.children.length > skipped.length) list.lastElementChild.remove();
  while (list.children.length < skipped.length) {
    list.append(root.querySelector("#reason").content.firstElementChild.cloneNode(true));
  }
  skipped.forEach((one, number) => {
    const node = list.children[number];
    say(node.querySelector("strong"), one.title);
    say(node.querySelector(".count"), figure(one.count));
    say(node.querySelector("small"), one.words);
    node.querySelector("rect").setAttribute("width", ((100 * one.count) / skipped[0].count).toFixed(1));
  });
  root.querySelector(".no-reasons").hidden = skipped.length > 0;
}

// A stage is chosen in the address too, so that it outlives a reload.
let listening = false;
function choose(root) {
  if (listening) return;
  listening = true;
  const current = root.querySelector(".station[aria-current]");
  chosen.stage = current ? current.dataset.stage : null;
  root.querySelector(".stations").addEventListener("click", (event) => {
    const node = event.target.closest(".station");
    if (!node || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    pick(root, chosen.stage === node.dataset.stage ? null : node.dataset.stage);
  });
  root.querySelector(".all-stages").addEventListener("click", (event) => {
    event.preventDefault();
    pick(root, null);
  });
  root.querySelector("input[type=search]").addEventListener("input", (event) => {
    chosen.name = event.target.value.trim().toLowerCase();
    standers(root);
  });
}

function pick(root, stage) {
  chosen.stage = stage;
  for (const node of root.querySelectorAll(".station")) {
    if (node.dataset.stage === stage) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
  }
  root.querySelector(".all-stages").hidden = !stage;
  const address = new URL(location.href);
  if (stage) address.searchParams.set("stage", stage);
  else address.searchParams.delete("stage");
  history.replaceState(null, "", address);
  standers(root);
}
