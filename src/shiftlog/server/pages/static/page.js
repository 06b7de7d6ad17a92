// What every page does: explanations on hover and focus, tables that sort and filter at once, durations that go on, addresses that
// say the whole view. Pages work without it.
"use strict";

(() => {
  // ── explanations: one box for all, placed where there is room ──

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);

  function place(x, y) {
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + box.height + 8 > innerHeight ? Math.max(8, y - box.height - 24) : y}px`;
  }

  // `content` is text or a node; x and y are where it is about.
  function explain(content, x, y) {
    tip.replaceChildren(content);
    tip.hidden = false;
    place(x, y);
  }

  function unexplain() {
    tip.hidden = true;
  }

  function adopt(root) {
    for (const element of root.querySelectorAll("[title]")) {
      element.dataset.tip = element.title;
      element.setAttribute("aria-description", element.title);
      element.removeAttribute("title");
    }
  }

  function about(event) {
    const element = event.target.closest?.("[data-tip]");
    if (!element) return;
    const box = element.getBoundingClientRect();
    explain(element.dataset.tip, box.left, box.bottom + 6);
  }

  document.addEventListener("mouseover", about);
  document.addEventListener("focusin", about);
  document.addEventListener("mouseout", (event) => event.target.closest?.("[data-tip]") && unexplain());
  document.addEventListener("focusout", unexplain);
  document.addEventListener("scroll", unexplain, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && unexplain());

  // ── tables ──

  const value = (cell) => {
    const found = cell.querySelector("data, time");
    if (found) return found.dateTime ? Date.parse(found.dateTime) : Number(found.value);
    const text = cell.textContent.trim();
    return text === "–" ? null : text.toLowerCase();
  };

  // Nulls last, whichever way.
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);

  function sort(table, index, descending) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row.cells[index]), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : descending ? compare(b, a) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  }

  function choose(event) {
    const link = event.target.closest?.("table[data-sortable] th a[data-sort]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const head = link.closest("th");
    const url = new URL(link.href);
    const descending = url.searchParams.get("order") === "desc";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sort(head.closest("table"), head.cellIndex, descending);
    history.replaceState(null, "", url);
    url.searchParams.set("order", descending ? "asc" : "desc");
    link.href = url;
  }

  function filter(input) {
    const wanted = input.value.trim().toLowerCase();
    const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    const left = rows.filter((row) => !row.hidden).length;
    document.getElementById(input.dataset.count).textContent = `${left} of ${rows.length} shown`;
  }

  document.addEventListener("click", choose);
  for (const input of document.querySelectorAll("input[data-filter]")) {
    input.addEventListener("input", () => filter(input));
  }

  // ── time that goes on ──

  const two = (number) => String(number).padStart(2, "0");

  // As words.duration has it.
  function duration(ms) {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    const minutes = Math.floor(seconds / 60);
    const hours = Math.floor(minutes / 60);
    if (hours >= 100) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
    if (hours) return `${hours} h ${two(minutes % 60)} min`;
    return minutes ? `${minutes} min ${two(seconds % 60)} s` : `${seconds} s`;
  }

  let ahead = 0;

  // `now` is the server's clock in epoch ms.
  function synchronise(now) {
    ahead = now - Date.now();
  }

  function tick() {
    const now = Date.now() + ahead;
    for (const element of document.querySelectorAll("data[data-since]")) {
      element.value = now - Number(element.dataset.since);
      const text = duration(element.value);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  setInterval(tick, 1000);

  // ── addresses ──

  const whole = document.querySelector('link[rel="canonical"]');
  if (whole && location.href !== whole.href) history.replaceState(null, "", whole.href + location.hash);

  adopt(document);
  window.shiftlog = { explain, unexplain, adopt, synchronise, tick, filterAll: () => document.querySelectorAll("input[data-filter]").forEach(filter) };
})();
