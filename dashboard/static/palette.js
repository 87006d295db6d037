// The command palette: pages, actions of this page, recent items, and what the search finds while one types.
"use strict";

(() => {
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const field = document.getElementById("palette-field");
  const list = document.getElementById("palette-list");
  const status = document.getElementById("palette-status");
  const icons = document.querySelector("use").getAttribute("href").split("#")[0];
  const recentKey = `beckon.recent.${dialog.dataset.workspace}`;
  const DEBOUNCE_MS = 150, MAX_RECENT = 6;
  let options = [], current = 0, request = null, timer = 0;

  // As the server does: every word must be the beginning of some word, whatever its accents and case.
  const fold = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().split(/[^\p{L}\p{N}]+/u);
  const matches = (title, query) => {
    const words = fold(title);
    return fold(query).every((word) => words.some((other) => other.startsWith(word)));
  };
  const go = (path) => () => window.location.assign(path);

  const listPages = () => [...document.querySelectorAll("nav[aria-label=Main] a.nav-link")].map((link) => ({
    title: link.querySelector("span").textContent, detail: "", open: go(link.href),
    icon: link.querySelector("use").getAttribute("href").split("#")[1],
  }));

  const listActions = () => {
    const items = new Map();
    for (const control of document.querySelectorAll("main .actions .button, main .head .button")) {
      const title = control.textContent.trim();
      if (!title || control.disabled || items.has(title) || !control.checkVisibility()) continue;
      items.set(title, { title, detail: "", icon: "generating", open: () => { control.focus(); control.click(); } });
    }
    return [...items.values()];
  };

  const readRecent = () => {
    try { return JSON.parse(sessionStorage.getItem(recentKey)) || []; } catch { return []; }
  };
  const listRecent = () => readRecent()
    .filter((item) => item.path !== window.location.pathname)
    .map((item) => ({ title: item.title, detail: item.path.split("/")[1], icon: "queued", open: go(item.path) }));
  const rememberPage = () => {
    const path = window.location.pathname, heading = document.querySelector("main h1");
    if (!heading || !/^\/\w+\/[0-9a-f-]{36}(\/monitor)?$/.test(path)) return;
    const others = readRecent().filter((item) => item.path !== path);
    const items = [{ title: heading.textContent.trim().slice(0, 100), path }, ...others].slice(0, MAX_RECENT);
    try { sessionStorage.setItem(recentKey, JSON.stringify(items)); } catch { /* Storage is full or forbidden. */ }
  };

  const buildGroups = (query, found) => {
    const fits = (items) => (query ? items.filter((item) => matches(item.title, query)) : items);
    const groups = [["Actions", fits(listActions())], ["Recent", fits(listRecent())], ["Pages", fits(listPages())]];
    for (const group of found) {
      const items = group.results.map((row) => ({ title: row.title, detail: row.detail, icon: group.icon, open: go(row.path) }));
      if (group.path && group.total !== items.length) {
        const count = group.total === null ? "" : ` ${group.total}`;
        items.push({ title: `All${count} ${group.label.toLowerCase()}`, detail: "", icon: group.icon, open: go(group.path) });
      }
      groups.push([group.label, items]);
    }
    const page = { title: `Search everything for “${query}”`, detail: "", icon: "checking" };
    if (query) groups.push(["Search", [{ ...page, open: go(`/search?q=${encodeURIComponent(query)}`) }]]);
    return groups.filter(([, items]) => items.length);
  };

  const buildIcon = (name) => {
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    icon.setAttribute("class", "icon");
    icon.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `${icons}#${name}`);
    icon.append(use);
    return icon;
  };
  const buildText = (tag, text, className) => {
    const node = document.createElement(tag);
    node.textContent = text;
    node.className = className;
    return node;
  };
  const buildOption = (item) => {
    const node = buildText("div", "", "palette-option");
    node.id = `palette-option-${options.length}`;
    node.setAttribute("role", "option");
    node.dataset.index = options.length;
    node.append(buildIcon(item.icon), buildText("span", item.title, "title"), buildText("span", item.detail, "detail"));
    options.push({ node, title: item.title, open: item.open });
    return node;
  };

  const select = (index) => {
    current = options.length ? (index + options.length) % options.length : 0;
    for (const [position, option] of options.entries()) option.node.setAttribute("aria-selected", String(position === current));
    const option = options[current];
    if (!option) return field.removeAttribute("aria-activedescendant");
    field.setAttribute("aria-activedescendant", option.node.id);
    option.node.scrollIntoView({ block: "nearest" });
  };

  const draw = (query, found) => {
    // The option that the person has moved to stays selected when results arrive.
    const kept = found.length && current ? options[current]?.title : null;
    options = [];
    list.replaceChildren(...buildGroups(query, found).map(([label, items], position) => {
      const group = buildText("div", "", "palette-group"), heading = buildText("div", label, "palette-label");
      heading.id = `palette-group-${position}`;
      heading.setAttribute("role", "presentation");
      group.setAttribute("role", "group");
      group.setAttribute("aria-labelledby", heading.id);
      group.append(heading, ...items.map(buildOption));
      return group;
    }));
    select(Math.max(0, options.findIndex((option) => option.title === kept)));
    status.textContent = options.length === 1 ? "1 result" : `${options.length} results`;
  };

  // An answer that comes after a later question is dropped: that question aborted it.
  const ask = async (query) => {
    const own = (request = new AbortController());
    try {
      const response = await fetch(`/api/search?q=${encodeURIComponent(query)}`, { signal: own.signal });
      if (response.status === 401) return window.location.assign("/sign-in");
      if (!response.ok) throw new Error(response.statusText);
      const found = (await response.json()).groups;
      if (own === request && dialog.open) draw(query, found);
    } catch (error) {
      if (error.name !== "AbortError" && own === request) status.textContent = "The search is unavailable";
    }
  };

  const type = () => {
    const query = field.value.trim();
    clearTimeout(timer);
    request?.abort();
    request = null;
    draw(query, []);
    if (query) timer = setTimeout(ask, DEBOUNCE_MS, query);
  };

  const open = () => {
    if (dialog.open) return field.select();
    document.querySelector("dialog[open]")?.close();
    field.value = "";
    dialog.showModal();
    type();
  };
  const choose = (option) => {
    if (!option) return;
    dialog.close();
    option.open();
  };

  field.addEventListener("input", type);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) select(current + step);
    else if (event.key === "Enter") choose(options[current]);
    else return;
    event.preventDefault();
  });
  list.addEventListener("mousemove", (event) => {
    const option = event.target.closest("[role=option]");
    if (option && Number(option.dataset.index) !== current) select(Number(option.dataset.index));
  });
  list.addEventListener("click", (event) => choose(options[event.target.closest("[role=option]")?.dataset.index]));
  dialog.addEventListener("close", () => { clearTimeout(timer); request?.abort(); request = null; });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-palette]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    open();
  });
  document.addEventListener("submit", (event) => {
    if (event.target.getAttribute("action") === "/sign-out") sessionStorage.clear();
  });
  if (/Mac|iPhone|iPad/.test(navigator.platform)) {
    for (const key of document.querySelectorAll("[data-palette] kbd, [data-palette-key]")) key.textContent = "⌘ K";
  }
  rememberPage();
})();
