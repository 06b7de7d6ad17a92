// Keeps the page Now as it is: what changed comes as server-sent events, and only what differs is touched.
"use strict";

(() => {
  const live = document.getElementById("live");
  const connection = document.getElementById("connection");
  const say = (text) => connection.textContent !== text && (connection.textContent = text);

  // Rows that stayed the same stay where they are, with whatever has the focus in them.
  function rows(old, fresh) {
    const known = new Map([...old.rows].map((row) => [row.dataset.key, row]));
    [...fresh.rows].forEach((row, index) => {
      const before = known.get(row.dataset.key);
      const same = before && before.dataset.version === row.dataset.version;
      const focused = before && !same && before.contains(document.activeElement);
      const shown = same ? before : document.importNode(row, true);
      if (!same && before) {
        before.replaceWith(shown);
        shown.classList.add("changed");
      }
      if (old.rows[index] !== shown) old.insertBefore(shown, old.rows[index] ?? null);
      if (focused) shown.querySelector("a")?.focus();
      known.delete(row.dataset.key);
    });
    for (const gone of known.values()) gone.remove();
  }

  function tiles(fresh) {
    for (const tile of fresh.querySelectorAll(".tiles > [data-key]")) {
      const before = live.querySelector(`.tiles > [data-key="${tile.dataset.key}"] dd`);
      const after = tile.querySelector("dd");
      if (before.innerHTML !== after.innerHTML) before.innerHTML = after.innerHTML;
    }
  }

  function show(html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const [old, body] = [live.querySelector("tbody"), fresh.content.querySelector("tbody")];
    const section = fresh.content.querySelector("section");
    shiftlog.synchronise(Number(section.dataset.now));
    if (old && body) {
      tiles(fresh.content);
      live.querySelector("section > header p").innerHTML = section.querySelector("header p").innerHTML;
      rows(old, body);
    } else {
      live.replaceChildren(fresh.content);
      shiftlog.adopt(live);
    }
    shiftlog.tick();
    shiftlog.filterAll();
  }

  const source = new EventSource(live.dataset.stream);
  source.addEventListener("open", () => say("Live"));
  source.addEventListener("now", (event) => {
    say("Live");
    show(event.data);
  });
  source.addEventListener("ended", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return say("Connection lost; trying again…");
    // Refused: too many watch, or the sign-in has ended; a new page says which.
    say("Not live; this page loads anew in 20 seconds.");
    setTimeout(() => location.reload(), 20000);
  });
  addEventListener("pagehide", () => source.close());
  shiftlog.synchronise(Number(live.querySelector("[data-now]").dataset.now));
})();
