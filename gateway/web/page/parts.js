// Elements, tables that change in place, and words for figures.  Only text is ever put into the page.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null && child !== ""));
  return made;
}

export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A table whose rows keep their elements, so that focus and selection stay while figures change.
// A column: {title, of(row) → text or {text, kind, soft, code, buttons: [{text, label, act}]}, number}
export class Table {
  constructor(place, caption, columns, keyOf) {
    this.columns = columns;
    this.keyOf = keyOf;
    this.rows = new Map();
    this.body = element("tbody", { role: "rowgroup" });
    const heads = columns.map(({ title }) => element("th", { scope: "col", role: "columnheader" }, title));
    this.table = element("table", { role: "table", "aria-label": caption },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)), this.body);
    place.append(this.table);
  }

  show(items) {
    this.table.hidden = !items.length;
    const seen = new Set();
    let before = null;
    for (const item of items) {
      const key = this.keyOf(item);
      seen.add(key);
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = this.made()));
      this.columns.forEach((column, at) => fill(row.children[at], column.of(item)));
      const place = before ? before.nextSibling : this.body.firstChild;
      if (place !== row) this.body.insertBefore(row, place);
      before = row;
    }
    for (const [key, row] of this.rows) {
      if (!seen.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
  }

  made() {
    return element("tr", { role: "row" }, ...this.columns.map(({ title, number, time }, at) => at
      ? element("td", { role: "cell", "data-label": title, class: number ? "number" : time ? "time" : "" })
      : element("th", { role: "rowheader", scope: "row" })));
  }
}

function fill(cell, told) {
  const parts = [told].flat().filter((part) => part || part === "0");
  const shown = JSON.stringify(parts);
  if (cell.shown === shown) return;
  cell.shown = shown;
  cell.replaceChildren(...parts.map(part));
}

function part(told) {
  if (typeof told !== "object") return element("p", {}, String(told));
  const kind = [told.kind, told.soft && "soft"].filter(Boolean).join(" ");
  if (told.act) {
    return element("button", { type: "button", "aria-label": told.label, on: { click: told.act } }, told.text);
  }
  return element("p", { class: kind }, told.code ? element("code", {}, told.text) : told.text);
}

export const number = (value) => (value == null ? "…" : Math.round(value).toLocaleString("en").replaceAll(",", "\u202f"));

export function span(seconds) {
  if (seconds == null) return "";
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * length) return `${Math.round(seconds / length)} ${unit}`;
  }
  return seconds < 10 && seconds > 0 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

export function size(bytes) {
  for (const [unit, length] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (bytes >= length) return `${(bytes / length).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}

export function clock(text) {
  if (!text) return "";
  const at = new Date(text);
  const time = at.toLocaleTimeString("en-GB");
  return Date.now() - at < 43200000 ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

export function copying(command) {
  return { text: "Copy", label: `Copy: ${command}`, act: () => navigator.clipboard?.writeText(command) };
}
