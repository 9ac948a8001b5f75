// Ten minutes of delivered values and of values on the disk: two charts, and the same as a table of minutes.

import { Table, byId, element, number, say } from "./parts.js";

const NS = "http://www.w3.org/2000/svg";
const MINUTES = 10;
const [WIDTH, HEIGHT] = [600, 100];

class Chart {
  constructor(place, title, kind, unit) {
    this.title = title;
    this.unit = unit;
    this.svg = document.createElementNS(NS, "svg");
    this.path = document.createElementNS(NS, "path");
    for (const [key, value] of Object.entries({ viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
      class: "chart", role: "img" })) this.svg.setAttribute(key, value);
    this.path.setAttribute("class", kind);
    this.svg.append(this.path);
    this.told = element("figcaption");
    place.append(element("figure", {}, this.told, this.svg));
  }

  show(points, now) {
    const most = Math.max(1, ...points.map(([, value]) => value));
    const at = ([time, value]) => {
      const x = WIDTH * (1 - (now - time) / (60 * MINUTES));
      return `${x.toFixed(1)} ${(HEIGHT - 4 - (value / most) * (HEIGHT - 8)).toFixed(1)}`;
    };
    this.path.setAttribute("d", points.length > 1 ? `M${points.map(at).join("L")}` : "");
    const last = points.length ? points[points.length - 1][1] : 0;
    const text = `${this.title}: now ${number(last)}${this.unit}, at most ${number(points.length ? most : 0)}${this.unit}`;
    say(this.told, text);
    this.svg.setAttribute("aria-label", text);
  }
}

export class Graph {
  constructor() {
    const place = byId("graph");
    this.delivered = new Chart(place, "Delivered", "one", " values/s");
    this.stored = new Chart(place, "On the disk", "two", " values");
    const details = element("details", {}, element("summary", {}, "The same as a table"));
    place.append(details);
    this.table = new Table(details, "Delivered and on the disk, by minute", [
      { title: "Minute", of: ({ ago }) => (ago ? `${ago} min ago` : "now") },
      { title: "Delivered per second", of: ({ delivered }) => number(delivered), number: true },
      { title: "Values on the disk, at most", of: ({ stored }) => number(stored), number: true },
    ], ({ ago }) => ago);
    this.points = [];
  }

  begin(history) {
    this.points = history.points.map((p) => [p.time_s, p.delivered_per_second, p.stored_values]);
  }

  show(state) {
    const now = Date.parse(state.time) / 1000;
    const rates = state.brokers.map((b) => b.values_per_second).filter((rate) => rate != null);
    if (rates.length) {
      this.points.push([now, rates.reduce((a, b) => a + b, 0), Math.max(0, ...state.brokers.map((b) => b.stored_values))]);
    }
    this.points = this.points.filter(([time]) => now - time < 60 * MINUTES);
    this.delivered.show(this.points.map(([time, value]) => [time, value]), now);
    this.stored.show(this.points.map(([time, , value]) => [time, value]), now);
    const minutes = new Map();
    for (const [time, delivered, stored] of this.points) {
      const ago = Math.floor((now - time) / 60);
      const known = minutes.get(ago) || { ago, sum: 0, count: 0, stored: 0 };
      minutes.set(ago, { ago, sum: known.sum + delivered, count: known.count + 1, stored: Math.max(known.stored, stored) });
    }
    this.table.show([...minutes.values()].sort((a, b) => a.ago - b.ago).map((m) => ({ ...m, delivered: m.sum / m.count })));
  }
}
