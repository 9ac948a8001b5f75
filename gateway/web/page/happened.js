// Events, gaps, and certificates that wait for trust; each with the command that helps.

import { ask } from "./feed.js";
import { Table, byId, clock, copying, number } from "./parts.js";

const KINDS = { info: "", warning: "warning", error: "bad", critical: "bad" };
const GAPS_EVERY_MS = 10000;

const command = (text) => (text ? [{ text, code: true }, copying(text)] : "");

export class Happened {
  constructor(onCertificate) {
    this.events = new Table(byId("events"), "Events", [
      { title: "Time", of: (e) => clock(e.time) },
      { title: "What", of: (e) => [{ text: e.event, kind: KINDS[e.level] }, e.peer && { text: e.peer, soft: true }] },
      { title: "Why", of: (e) => [e.reason, e.advice && e.advice !== e.reason && { text: e.advice, soft: true }] },
      { title: "The command that helps", of: (e) => command(e.command) },
    ], (e) => `${e.time} ${e.event} ${e.peer}`);
    this.gaps = new Table(byId("gaps"), "Gaps", [
      { title: "Announced", of: (g) => clock(g.time) },
      { title: "Source", of: (g) => [g.source, g.tags.length ? { text: g.tags.join(", "), soft: true } : "all tags"] },
      { title: "Why", of: (g) => [g.cause, { text: g.detail, soft: true }] },
      { title: "Values", of: (g) => (g.values == null ? "unknown" : number(g.values)), number: true },
      { title: "From", of: (g) => clock(g.begin) || "unknown" },
      { title: "To", of: (g) => clock(g.end) || "open" },
    ], (g) => `${g.time} ${g.source} ${g.cause} ${g.tags}`);
    this.certificates = new Table(byId("certificates"), "Certificates that wait for trust", [
      { title: "Certificate", of: (c) => [c.name, { text: c.application_uri, soft: true }] },
      { title: "Thumbprint", of: (c) => ({ text: c.thumbprint, code: true }) },
      { title: "Of", of: (c) => c.sources.join(", ") },
      { title: "Valid until", of: (c) => c.valid_until.slice(0, 10) },
      { title: "The command that trusts it", of: (c) => [...command(c.command), ...onCertificate(c)] },
    ], (c) => `${c.thumbprint} ${c.command}`);
    this.gaps.show([]);
    this.lookAtGaps();
    setInterval(() => this.lookAtGaps(), GAPS_EVERY_MS);
  }

  async lookAtGaps() {
    try {
      const { gaps } = await ask("/gaps");
      this.gaps.show(gaps);
      byId("no-gaps").hidden = gaps.length > 0;
    } catch { /* the feed says that the gateway is away */ }
  }

  show(state) {
    this.events.show(state.events);
    this.certificates.show(state.certificates);
    byId("waiting").hidden = state.certificates.length === 0;
  }
}
