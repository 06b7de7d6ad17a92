// Draws the charts of a page with Vega, which our own server brings. Its expressions are interpreted: no code is made at run time.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const font = getComputedStyle(document.body).fontFamily;
  const NARROW = 700; // CSS pixels: below, what stands side by side stands below each other
  const LABELS = 190; // what labels of agents take beside a row of a facet

  // ── a specification for the room there is ──

  function walk(node, visit) {
    if (Array.isArray(node)) node.forEach((item) => walk(item, visit));
    else if (node && typeof node === "object") {
      visit(node);
      for (const [name, child] of Object.entries(node)) if (name !== "datasets") walk(child, visit);
    }
  }

  // Every so many ticks, so that their labels do not meet.
  function thin(spec, width, labelled = false) {
    walk(spec, (node) => {
      const axis = node.axis;
      if (axis && Array.isArray(axis.values) && axis.labelExpr?.includes("time(") && width / axis.values.length < 56) {
        const every = Math.ceil((56 * axis.values.length) / width);
        axis.values = axis.values.filter((_, index) => index % every === 0);
      } else if (axis && node.scale && Array.isArray(node.scale.domain) && width / node.scale.domain.length < 22 && node.type === "ordinal") {
        axis.labelOverlap = true;
      }
      if (axis && axis.labelLimit > 100 && width < NARROW) axis.labelLimit = 110;
      if (node.legend?.orient === "top" && width < NARROW) Object.assign(node.legend, { columns: labelled ? 1 : 2, gradientLength: 140 });
    });
  }

  function fitted(spec, width, figure) {
    spec.padding = 2;
    spec.background = "transparent";
    spec.config = { ...spec.config, font };
    if (width < NARROW) spec.config.legend = { ...spec.config.legend, layout: { top: { direction: "vertical", anchor: "start" } } };
    for (const side of ["title", "name"]) delete spec[side];
    if (spec.hconcat || spec.vconcat) return side_by_side(spec, width);
    if (spec.spec) {
      // One agent has the page for itself: no label, and more height.
      const alone = figure.dataset.alone === "";
      const header = spec.facet.row.header;
      const room = width - (alone ? 40 : width < NARROW ? 130 : LABELS);
      spec.spec.width = Math.max(180, room);
      if (alone) {
        header.labels = false;
        spec.spec.height = 150;
      } else if (width < NARROW) header.labelLimit = 90;
      thin(spec, room);
      return spec;
    }
    spec.width = width;
    spec.autosize = { type: "fit-x", contains: "padding" };
    const labelled = JSON.stringify(spec.encoding ?? spec.layer).includes('"labelLimit"');
    thin(spec, width - (labelled ? 150 : 60), labelled);
    // Numbers in cells that are too small for them.
    if (spec.layer && width < NARROW) spec.layer = spec.layer.filter((layer) => (layer.mark?.type ?? layer.mark) !== "text");
    return spec;
  }

  function side_by_side(spec, width) {
    const panels = spec.hconcat ?? spec.vconcat;
    const narrow = width < NARROW;
    const total = panels.reduce((sum, panel) => sum + (panel.width || 1), 0);
    const room = width - 75 * panels.length - (spec.spacing || 0);
    for (const panel of panels) {
      panel.width = narrow ? width - 80 : Math.floor((room * (panel.width || 1)) / total);
      thin(panel, panel.width);
    }
    if (narrow) {
      spec.vconcat = panels;
      delete spec.hconcat;
    }
    return spec;
  }

  // The interpreter takes a lone number for a year where Vega's own code takes it for an instant.
  const exact = (spec) => JSON.parse(JSON.stringify(spec).replace(/datetime\((-?\d{9,})\)/g, "$1"));

  // ── drawing ──

  function explained(value) {
    const list = document.createElement("dl");
    for (const [name, text] of Object.entries(value)) {
      const [term, found] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      found.textContent = text;
      list.append(term, found);
    }
    return list;
  }

  function tooltip(_, event, __, value) {
    if (value && typeof value === "object") shiftlog.explain(explained(value), event.clientX + 12, event.clientY + 16);
    else shiftlog.unexplain();
  }

  // Agents by the names that charts call them, as the page's table has them.
  const links = new Map([...document.querySelectorAll("a[data-label]")].map((link) => [link.dataset.label, link.href]));
  const target = (item) => item?.datum && (links.get(item.datum.agent) ?? links.get(item.datum.key) ?? (item.mark?.role === "axis-label" ? links.get(item.text) : undefined));

  async function specification(figure) {
    const answer = await fetch(`${figure.dataset.chart}&theme=${theme()}`, { headers: { Accept: "application/json" } });
    if (answer.status === 401) throw new Error("Your sign-in has ended; reload the page to sign in again.");
    const found = await answer.json();
    if (!answer.ok) throw new Error(`This chart cannot be drawn: ${found.error.message}.`);
    return found;
  }

  function said(figure, spec) {
    const lines = [spec.title?.subtitle ?? []].flat().filter((line) => !line.startsWith("account "));
    figure.querySelector("figcaption").textContent = lines.join(" ");
  }

  async function draw(figure) {
    const plot = figure.querySelector(".plot");
    const status = figure.querySelector(".status");
    const width = Math.floor(figure.clientWidth);
    figure.setAttribute("aria-busy", "true");
    try {
      const spec = await specification(figure);
      said(figure, spec);
      plot.hidden = false;
      figure.shown?.finalize();
      const options = { mode: "vega-lite", ast: true, actions: false, defaultStyle: false, renderer: "canvas", logLevel: 1, patch: exact, tooltip };
      figure.shown = await vegaEmbed(plot, fitted(spec, width, figure), options);
      figure.drawn = `${theme()} ${width}`;
      figure.shown.view.addEventListener("click", (_, item) => target(item) && location.assign(target(item)));
      figure.shown.view.addEventListener("mousemove", (_, item) => plot.classList.toggle("clickable", Boolean(target(item))));
      const drawing = plot.querySelector("canvas");
      drawing?.setAttribute("role", "img");
      drawing?.setAttribute("aria-label", `${figure.dataset.title}, a chart; the tables of this page have its numbers`);
      for (const name of ["role", "aria-label", "aria-roledescription"]) plot.removeAttribute(name);
      status.hidden = true;
      figure.dataset.done = "";
    } catch (error) {
      plot.hidden = true;
      status.hidden = false;
      status.textContent = error.message;
    }
    figure.removeAttribute("aria-busy");
  }

  // One after the other: the first ones are there sooner.
  async function drawAll() {
    for (const figure of document.querySelectorAll("figure[data-chart]")) {
      if (figure.drawn !== `${theme()} ${Math.floor(figure.clientWidth)}`) await draw(figure);
    }
    document.documentElement.dataset.drawn = "";
  }

  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 250);
  });
  dark.addEventListener("change", drawAll);
  drawAll();
})();
