// The search for tags: asked when words change, and again every two seconds while something is shown.

import { ask } from "./feed.js";
import { Table, byId, clock, number, say, span } from "./parts.js";

const AGAIN_MS = 2000;
const KINDS = { good: "good", uncertain: "warning", bad: "bad", unknown: "unknown" };

const topics = (tag) => tag.ways.length ? tag.ways.flatMap((way) => [{ text: way.topic, code: true },
  { text: `${way.route ? `route ${way.route}, ` : ""}to ${way.brokers.join(", ")}`, soft: true }]) : ["nowhere: no route wants it"];

const held = ({ held_back: rule }) => rule ? [{ text: rule.rule, code: true },
  `${number(rule.arrived - rule.passed)} of ${number(rule.arrived)} held back in ${span(rule.for_s)}`] : "no rule";

export class Tags {
  constructor() {
    this.table = new Table(byId("found"), "Tags found", [
      { title: "Tag", of: (t) => [`${t.source}: ${t.name}`, { text: t.node, soft: true, code: true }] },
      { title: "Last value", of: (t) => [t.value == null ? "none" : `${t.value}${t.unit ? ` ${t.unit}` : ""}`,
        t.type && { text: t.type, soft: true }] },
      { title: "Status", of: (t) => ({ text: t.status, kind: KINDS[t.severity] }) },
      { title: "Source time", time: true, of: (t) => [clock(t.source_time), { text: t.source_time || "none", soft: true }] },
      { title: "Server time", time: true, of: (t) => [clock(t.server_time), { text: t.server_time || "none", soft: true }] },
      { title: "Age", of: (t) => (t.age_s == null ? "unknown" : span(Math.max(0, t.age_s))), number: true },
      { title: "Topic and route", of: topics },
      { title: "Held back by a rule", of: held },
    ], (t) => `${t.source} ${t.node} ${t.name}`);
    this.table.show([]);
    this.asked = 0;
    this.isShown = false;
    byId("search").addEventListener("submit", (event) => { event.preventDefault(); this.search(); });
    byId("words").addEventListener("input", () => { clearTimeout(this.soon); this.soon = setTimeout(() => this.search(), 300); });
    byId("severity").addEventListener("change", () => this.search());
    setInterval(() => { if (this.isShown && !document.hidden) this.search(); }, AGAIN_MS);
  }

  async search() {
    const [words, severity] = [byId("words").value.trim(), byId("severity").value];
    const turn = ++this.asked;
    this.isShown = words !== "" || severity !== "";
    if (!this.isShown) {
      this.table.show([]);
      say(byId("matches"), "");
      return;
    }
    try {
      const found = await ask(`/tags?${new URLSearchParams({ search: words, severity })}`);
      if (turn !== this.asked) return;
      this.table.show(found.tags);
      const more = found.matches > found.tags.length ? `; the first ${number(found.tags.length)} are shown` : "";
      say(byId("matches"), `${number(found.matches)} ${found.matches === 1 ? "tag" : "tags"} found${more}`);
    } catch (error) {
      if (turn === this.asked) say(byId("matches"), `The search failed: ${error.message}`);
    }
  }
}
