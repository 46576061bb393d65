"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { units, step, diagram, names } = data;
  const count = units.length;
  const thing = step === 1 ? "position" : "block row";
  const byId = (id) => document.getElementById(id);
  const spans = (flat) => d3.range(0, flat.length, 2).map((at) => [flat[at], flat[at + 1]]);
  const holds = (flat, key) => spans(flat).some(([low, high]) => low <= key && key < high);
  // Names are shown in full: a browser whose font is wider than expected narrows the letters.
  const squeeze = (element, room) => {
    if (element.getComputedTextLength() > room) d3.select(element).attr("textLength", room).attr("lengthAdjust", "spacingAndGlyphs");
  };
  const short = (text, most) => (Array.from(text).length > most ? Array.from(text).slice(0, most - 1).join("") + "…" : text);
  const plural = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
  let table = 0;
  let picked = null;

  // Elements: text is only ever set as text.
  function make(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }
  const put = (parent, ...children) => (parent.append(...children), parent);
  const name = (text) => make("bdi", text);

  function heads(element, titles) {
    const row = make("tr");
    for (const title of titles) row.append(make("th", title, { scope: "col" }));
    element.replaceChildren(put(make("thead"), row));
    return put(element, make("tbody")).lastChild;
  }

  function cells(body, values, head = -1) {
    const row = body.appendChild(make("tr"));
    values.forEach((value, at) => {
      const cell = at === head ? make("th", undefined, { scope: "row" }) : make("td");
      cell.append(value instanceof Node ? value : name(String(value)));
      row.append(cell);
    });
    return row;
  }

  // Rows: the keys of a unit in the shown table, and the units that have it as a key.
  const row = (unit, which = table) => data.tables[which][unit];
  const words = (flat) => {
    const parts = spans(flat).map(([low, high]) => (high - low === 1 ? `${low}` : `${low} to ${high - 1}`));
    const more = parts.length - 30;
    return (parts.slice(0, 30).join(", ") || "none") + (more > 0 ? ` and ${plural(more, "more interval")}` : "");
  };
  const flatten = (numbers) => {
    const flat = [];
    for (const number of numbers) {
      if (flat.length && flat[flat.length - 1] === number) flat[flat.length - 1]++;
      else flat.push(number, number + 1);
    }
    return flat;
  };
  const sees = (unit, key) => holds(row(unit).full, key) || holds(row(unit).part, key);
  const seers = (key) => d3.range(count).filter((unit) => sees(unit, key));
  const findingsAt = d3.group((data.findings || []).filter((finding) => finding.position !== null), (finding) => Math.floor(finding.position / step));
  const seesWords = (unit) => {
    const { full, part } = row(unit);
    return step === 1 ? `sees ${words(full)}` : `full blocks ${words(full)}; partial blocks ${words(part)}`;
  };
  const spoken = (unit) => {
    const { name: title, input, id, kind, labels_total: labels, nodes_total: nodes } = units[unit];
    const parts = [`${step === 1 ? "Position" : "Block row " + unit + ", positions"} ${title}`];
    if (input !== undefined) parts.push(`input ${short(input, 80)}`);
    if (id !== undefined) parts.push(`position id ${id}`);
    if (kind !== undefined && kind !== "token") parts.push(`kind ${short(kind, 40)}`);
    parts.push(seesWords(unit));
    if (labels) parts.push(plural(labels, "label"));
    if (nodes) parts.push(`${plural(nodes, "node")} here`);
    if (findingsAt.has(unit)) parts.push(plural(findingsAt.get(unit).length, "finding"));
    return parts.join(", ") + ".";
  };

  // Selection: every view marks the selected unit.
  function pick(unit, { say = true, look = "both", at = unit * step } = {}) {
    if (!(unit >= 0 && unit < count)) return;
    picked = unit;
    show(unit);
    if (say) byId("live").textContent = spoken(unit);
    if (look === "both" || look === "order") showChip(unit);
    if (look === "both" || look === "mask") showRow(unit);
    byId("diagram")?.setAttribute("aria-activedescendant", `chip-${unit}`);
    byId("mask").setAttribute("aria-activedescendant", `row-${unit}`);
    byId("goto").value = String(at);
  }
  function show(unit) {
    if (unit === null) return;
    marks.chips(unit);
    marks.rows(unit);
    details(unit);
    for (const line of byId("positions").querySelectorAll("tbody tr")) {
      if (line.dataset.unit === String(unit)) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    }
  }
  const marks = { chips: () => {}, rows: () => {} };
  let showChip = () => {};
  let showRow = () => {};

  // Details of the selected unit.
  function facts(list, pairs) {
    list.replaceChildren();
    for (const [term, text] of pairs) put(list, make("dt", term), put(make("dd"), text instanceof Node ? text : name(String(text))));
    return list;
  }
  function details(unit) {
    const body = byId("details-body");
    const { name: title, input, id, kind, updated, labels, labels_total: total, nodes, nodes_total: nodeCount, why } = units[unit];
    byId("details-heading").textContent = step === 1 ? `Position ${title}` : `Block row ${unit}: positions ${title}`;
    const pairs = [];
    if (input !== undefined) pairs.push(["Input", input]);
    if (id !== undefined) pairs.push(["Position id", id]);
    if (kind !== undefined) pairs.push(["Kind", kind]);
    if (updated !== undefined) pairs.push(["Updated", updated]);
    const { full, part } = row(unit);
    if (step === 1) pairs.push(["Sees", words(full)], ["Seen by", words(flatten(seers(unit)))]);
    else pairs.push(["Full blocks", words(full)], ["Partial blocks", words(part)], ["Seen by block rows", words(flatten(seers(unit)))]);
    if (diagram.reach) pairs.push(["Reached by", `${words(diagram.reach[unit])} (${data.depth})`]);
    if (step > 1) pairs.push(["Labels", total]);
    body.replaceChildren(facts(make("dl"), pairs));
    if (why) put(body, make("h3", step === 1 && nodeCount > 1 ? "Why it merged" : "Nodes at this position"), put(make("p"), why));
    if (nodes.length) {
      const rows = heads(body.appendChild(make("table", undefined, { "aria-label": "Nodes at this position" })), ["Task", "Node"]);
      for (const [task, node] of nodes) cells(rows, [names[task], node]);
      if (nodeCount > nodes.length) put(body, make("p", `and ${plural(nodeCount - nodes.length, "more node")}`));
    }
    if (labels.length) {
      put(body, make("h3", "Labels"));
      const rows = heads(body.appendChild(make("table", undefined, { "aria-label": "Labels" })), ["Predicts", "Weight", "For"]);
      for (const [label, weight, task] of labels) cells(rows, [label, weight, task < 0 ? "" : names[task]]);
      if (total > labels.length) put(body, make("p", `and ${plural(total - labels.length, "more label")}`));
    }
    if (findingsAt.has(unit)) {
      put(body, make("h3", "Findings"));
      const list = body.appendChild(make("ul"));
      for (const finding of findingsAt.get(unit).slice(0, 50)) {
        put(list, put(make("li"), name(`${finding.code} ${finding.severity}: ${finding.message}`), places(finding)));
      }
    }
  }

  // The positions of a finding's witness, as buttons.
  function places(finding) {
    const line = make("p");
    finding.places.forEach((position, at) => {
      if (at) put(line, finding.arrow ? " → " : " ");
      const button = make("button", String(position), { type: "button", "aria-label": `Show position ${position}` });
      button.addEventListener("click", () => jump(position));
      put(line, button);
    });
    return finding.places.length ? line : "";
  }

  // The diagram.
  function drawOrder() {
    const svg = d3.select("#diagram");
    if (!diagram.boxes) {
      byId("diagram-note").textContent = diagram.note;
      byId("diagram-note").hidden = false;
      byId("views").classList.add("no-order");
      if (count) byId("mask-help").before(byId("diagram-note"));
      byId("order-section").hidden = count > 0;
      for (const id of ["order-bar", "order-help"]) byId(id).hidden = true;
      svg.remove();
      return;
    }
    const high = diagram.chip;
    const board = svg.append("g").attr("role", "presentation");
    const line = d3.line().curve(d3.curveMonotoneY);
    const edges = board.append("g").attr("aria-hidden", "true").selectAll("path").data(diagram.lines).join("path");
    edges.attr("class", "edge").attr("d", ([, , flat]) => line(spans(flat)));
    const place = new Array(count);
    const home = new Array(count);
    const wide = new Array(count);
    diagram.boxes.forEach(([x, y, width, , columns, members], box) => {
      const pad = members.length > 1 ? diagram.pad : 0;
      members.forEach((unit, at) => {
        home[unit] = box;
        wide[unit] = (width - 2 * pad) / columns;
        place[unit] = [x + pad + (at % columns) * wide[unit], y + pad + Math.floor(at / columns) * high];
      });
    });
    const boxes = board.append("g").attr("aria-hidden", "true").selectAll("rect").data(diagram.boxes).join("rect").attr("class", "box").classed("single", (d) => d[5].length === 1);
    boxes.attr("x", (d) => d[0]).attr("y", (d) => d[1]).attr("width", (d) => d[2]).attr("height", (d) => d[3]).attr("rx", 7);
    const chips = board.append("g").attr("role", "presentation").selectAll("g").data(d3.range(count)).join("g");
    chips.attr("class", "chip").attr("id", (unit) => `chip-${unit}`).attr("role", "option").attr("aria-selected", "false");
    chips.attr("aria-label", spoken).attr("transform", (unit) => `translate(${place[unit]})`);
    chips.append("rect").attr("x", 2).attr("y", 2).attr("width", (unit) => wide[unit] - 4).attr("height", high - 4).attr("rx", 4);
    chips.append("text").attr("class", "number").attr("x", 7).attr("y", 15).text((unit) => unit);
    chips.append("text").attr("class", "token").attr("x", 7).attr("y", 27).text((unit) => units[unit].short ?? "")
      .each(function (unit) { squeeze(this, wide[unit] - 14); });
    chips.filter((unit) => units[unit].labels_total).append("path").attr("class", "mark").attr("d", (unit) => `M${wide[unit] - 16},8 l9,0 l-4.5,8 z`);
    chips.filter((unit) => findingsAt.has(unit)).append("text").attr("class", "warn").attr("x", (unit) => wide[unit] - 24).attr("y", 16).text("!");
    chips.on("click", (event, unit) => pick(unit, { look: "mask" }));
    chips.on("pointerenter", (event, unit) => event.pointerType === "mouse" && show(unit)).on("pointerleave", () => show(picked));

    const zoom = d3.zoom().scaleExtent([0.02, 4]).filter((event) => !event.button && (event.type !== "wheel" || event.ctrlKey));
    svg.call(zoom.on("zoom", (event) => board.attr("transform", event.transform))).on("dblclick.zoom", null);
    const size = () => [svg.node().clientWidth, svg.node().clientHeight];
    function look(x, y, scale) {
      const [width, height] = size();
      svg.call(zoom.transform, d3.zoomIdentity.translate(width / 2, height / 2).scale(scale).translate(-x, -y));
    }
    const fitting = () => Math.min(1.4, ...size().map((room, at) => (room - 24) / Math.max([diagram.width, diagram.height][at], 1)));
    const fit = () => look(diagram.width / 2, diagram.height / 2, fitting());
    showChip = (unit) => {
      const at = d3.zoomTransform(svg.node());
      const [x, y] = at.apply(place[unit]);
      const [width, height] = size();
      const scale = Math.max(at.k, 0.5);
      if (at.k < 0.5 || x < 8 || y < 8 || x + wide[unit] * at.k > width - 8 || y + high * at.k > height - 8) {
        if (fitting() < 0.5 || at.k > fitting() * 1.01) look(place[unit][0] + wide[unit] / 2, place[unit][1] + high / 2, scale);
      }
    };
    byId("zoom-in").addEventListener("click", () => svg.call(zoom.scaleBy, 1.4));
    byId("zoom-out").addEventListener("click", () => svg.call(zoom.scaleBy, 1 / 1.4));
    byId("zoom-fit").addEventListener("click", fit);
    byId("zoom-here").addEventListener("click", () => {
      const unit = picked ?? 0;
      look(place[unit][0] + wide[unit] / 2, place[unit][1] + high / 2, 1);
    });
    fit();

    marks.chips = (unit) => {
      const far = diagram.reach[unit];
      svg.classed("some", true);
      chips.classed("picked", (other) => other === unit).attr("aria-selected", (other) => String(other === unit));
      chips.classed("near", (other) => other !== unit && sees(unit, other));
      chips.classed("far", (other) => other !== unit && !sees(unit, other) && holds(far, other));
      const inside = new Set(spans(far).flatMap(([low, end]) => d3.range(low, end)).map((other) => home[other]));
      edges.classed("on", ([low, up]) => inside.has(low) && inside.has(up));
    };
    const lowers = d3.rollup(diagram.lines, (group) => group.map((d) => d[0]), (d) => d[1]);
    const uppers = d3.rollup(diagram.lines, (group) => group.map((d) => d[1]), (d) => d[0]);
    const nearest = (numbers, unit) =>
      d3.least(numbers || [], (box) => Math.abs(diagram.boxes[box][0] + diagram.boxes[box][2] / 2 - place[unit][0]));
    const step_to = (numbers) => {
      const box = nearest(numbers, picked);
      return box === undefined ? picked : diagram.boxes[box][5][0];
    };
    keys(svg.node(), "order", { ArrowUp: () => step_to(uppers.get(home[picked])), ArrowDown: () => step_to(lowers.get(home[picked])) });
  }

  // The mask.
  function drawMask() {
    const digits = 8 * String(count * step - 1).length;
    const room = Math.min(Math.max(byId("mask-frame").clientWidth, 300), 760) - 12;
    const size = (before) => Math.max(2, Math.min(20, Math.floor((room - before) / count)));
    const label = (unit) => `${units[unit].name}  ${units[unit].short ?? ""}`;
    const letters = document.createElement("canvas").getContext("2d");
    letters.font = "700 12px system-ui, sans-serif";
    const named = Math.ceil(d3.max(units, (_, unit) => letters.measureText(label(unit)).width)) + 14;
    const tall = size(named) >= 12;
    const left = tall ? named : digits + 14;
    const cell = size(left);
    const top = 22;
    const every = [1, 2, 5, 10, 20, 50, 100].find((number) => number * cell >= digits + 2);
    const svg = d3.select("#mask").attr("width", left + count * cell + 8).attr("height", top + count * cell + 8);
    svg.attr("viewBox", `0 0 ${left + count * cell + 8} ${top + count * cell + 8}`);
    const path = (flat, unit) =>
      spans(flat).map(([low, high]) => `M${left + low * cell},${top + unit * cell}h${(high - low) * cell}v${cell}h${(low - high) * cell}z`).join("");
    svg.append("g").attr("aria-hidden", "true").selectAll("text").data(d3.range(0, count, every)).join("text")
      .attr("x", (key) => left + (key + 0.5) * cell).attr("y", 15).attr("text-anchor", "middle").text((key) => key * step);
    const rows = svg.append("g").attr("role", "presentation").selectAll("g").data(d3.range(count)).join("g");
    rows.attr("class", "row").attr("id", (unit) => `row-${unit}`).attr("role", "option").attr("aria-selected", "false");
    rows.append("rect").attr("class", "hit").classed("slim", cell < 6).attr("x", 1).attr("width", left + count * cell).attr("y", (unit) => top + unit * cell)
      .attr("height", cell);
    const part = rows.append("path").attr("class", "part");
    const full = rows.append("path").attr("class", "full");
    const labelled = rows.filter((unit) => tall || unit % every === 0);
    labelled.append("text").attr("x", 6).attr("y", (unit) => top + (unit + 0.5) * cell + 4)
      .text((unit) => (tall ? label(unit) : unit * step)).each(function () { squeeze(this, left - 10); });
    rows.on("click", (event, unit) => pick(unit, { look: "order" }));
    rows.on("pointerenter", (event, unit) => event.pointerType === "mouse" && show(unit)).on("pointerleave", () => show(picked));
    if (cell >= 6) {
      const net = d3.range(count + 1).map((at) => `M${left + at * cell},${top}v${count * cell}M${left},${top + at * cell}h${count * cell}`);
      svg.append("path").attr("class", "grid").attr("d", net.join(""));
    }
    const column = svg.append("rect").attr("class", "column").attr("y", top).attr("width", cell).attr("height", count * cell);
    column.attr("visibility", "hidden");
    const fill = () => {
      full.attr("d", (unit) => path(row(unit).full, unit));
      part.attr("d", (unit) => path(row(unit).part, unit));
      rows.attr("aria-label", spoken);
      if (picked !== null) show(picked);
    };
    fill();
    marks.rows = (unit) => {
      rows.classed("picked", (other) => other === unit).attr("aria-selected", (other) => String(other === unit));
      column.attr("x", left + unit * cell).attr("visibility", "visible");
    };
    showRow = (unit) => {
      const frame = byId("mask-frame");
      const y = top + unit * cell;
      if (y < frame.scrollTop + top || y + cell > frame.scrollTop + frame.clientHeight) frame.scrollTop = y - frame.clientHeight / 2;
    };
    keys(svg.node(), "mask", { ArrowUp: () => picked - 1, ArrowDown: () => picked + 1 });
    byId("table-label").hidden = data.tables.length < 2;
    data.tables.forEach((_, number) => byId("table").append(make("option", String(number), { value: String(number) })));
    byId("table").addEventListener("change", () => { table = Number(byId("table").value); fill(); });
    const lines = step === 1 ? "Rows are queries, columns are keys; a filled cell is an allowed pair." :
      `Each cell is a block of ${step} x ${step} pairs: dark if all are allowed, light if some are.`;
    byId("mask-help").textContent = `${lines} Click a row, or focus the mask and use the arrow keys; the dashed column shows the queries that see it.`;
    byId("mask-note").textContent = data.left_out ? `${plural(data.left_out, "table")} of the layer pattern are not shown.` : "";
  }

  function keys(element, look, moves) {
    const all = { ArrowLeft: () => picked - 1, ArrowRight: () => picked + 1, Home: () => 0, End: () => count - 1,
      PageUp: () => Math.max(picked - 10, 0), PageDown: () => Math.min(picked + 10, count - 1), ...moves };
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Enter" && picked !== null) byId("details").focus();
      else if (event.key in all) pick(picked === null ? 0 : all[event.key](), { look: "both" });
      else return;
      event.preventDefault();
    });
  }

  function jump(position) {
    pick(Math.floor(position / step), { at: position });
    byId("views").scrollIntoView({ block: "nearest" });
    byId("details").focus({ preventScroll: true });
  }

  // Tables and downloads.
  function drawFindings() {
    if (data.findings === null) return;
    byId("findings-section").hidden = false;
    const more = data.findings_left_out ? ` ${plural(data.findings_left_out, "more finding")} are in findings.json or the command's --json.` : "";
    byId("findings-note").textContent = data.findings.length ? `The button of a position selects it below.${more}` : "There are no findings.";
    if (!data.findings.length) return;
    const rows = heads(byId("findings"), ["Severity", "Code", "Position", "What", "Remedy", "Witness"]);
    for (const finding of data.findings) {
      const severity = make("span", { error: "✖ error", warning: "▲ warning", note: "● note" }[finding.severity], { class: `severity ${finding.severity}` });
      let where = "complete mask";
      if (finding.position !== null) {
        where = make("button", String(finding.position), { type: "button", "aria-label": `Show position ${finding.position}` });
        where.addEventListener("click", () => jump(finding.position));
      }
      const witness = make("details");
      put(witness, make("summary", "show"), put(make("p"), name(finding.witness)), places(finding));
      cells(rows, [severity, `${finding.code} ${finding.name}`, where, finding.message, finding.remedy, finding.witness ? witness : ""]);
    }
  }
  function drawPositions() {
    const rows = heads(byId("positions"), [step === 1 ? "Position" : "Positions", "Input", "Position id", "Kind", "Sees", "Labels", "Nodes", "Findings"]);
    for (let unit = 0; unit < count; unit++) {
      const { name: title, input = "", id = "", kind = "", labels_total: labels, nodes_total: nodes } = units[unit];
      const button = make("button", title, { type: "button", "aria-label": `Show ${thing} ${title}` });
      button.addEventListener("click", () => pick(unit));
      const seen = step === 1 ? words(row(unit, 0).full) : seesWords(unit);
      cells(rows, [button, input, id, kind, seen, labels, nodes, (findingsAt.get(unit) || []).length], 0).dataset.unit = String(unit);
    }
  }
  function drawDownloads() {
    for (const file of data.downloads) {
      const item = byId("downloads").appendChild(make("li", file.note));
      if (file.note) continue;
      const types = ["application/json", "application/octet-stream"];
      const link = make("a", `${file.name} (${plural(file.size, "byte")})`, { download: file.name });
      link.href = `data:${types.includes(file.type) ? file.type : types[1]};base64,${file.base64}`;
      item.append(link);
    }
    if (!data.downloads.length) byId("downloads").append(make("li", "none"));
  }

  document.title = `${data.title} – masksynth report`;
  put(byId("title"), name(data.title));
  byId("verdict").textContent = data.verdict;
  byId("verdict").className = data.grade;
  facts(byId("facts"), data.facts);
  byId("by").textContent = `Written by ${data.by}. This file needs no network.`;
  drawFindings();
  drawDownloads();
  drawOrder();
  byId("goto").max = String(Math.max(data.size - 1, 0));
  byId("goto").addEventListener("change", () => {
    const at = Number(byId("goto").value || NaN);
    if (Number.isInteger(at)) pick(Math.floor(at / step), { at });
  });
  if (count) {
    drawMask();
    drawPositions();
    const first = (data.findings || []).find((finding) => finding.position !== null);
    const most = d3.maxIndex(units, (unit) => Math.min(unit.labels_total, 1));
    pick(first ? Math.floor(first.position / step) : most, { say: false, at: first?.position });
  } else {
    for (const id of ["mask-section", "details"]) byId(id).hidden = true;
    byId("positions-details").replaceWith(make("p", "There are no positions."));
  }
})();
