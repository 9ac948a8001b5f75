// The machines of the plant, and who has what in a group.

import { Table, byId, clock, number, say, span } from "./parts.js";

const KINDS = { working: "good", down: "bad", blocked: "warning", starved: "warning", held: "warning" };

export class Plant {
  constructor() {
    this.machines = new Table(byId("machines"), "Machines", [
      { title: "Machine", of: (m) => [m.machine, { text: `${m.line}, by ${m.source}`, soft: true }] },
      { title: "State", of: (m) => [{ text: m.state || "unknown", kind: KINDS[m.state] },
        m.state && { text: `for ${span(m.for_s)}`, soft: true }] },
      { title: "Good parts", of: (m) => number(m.good_parts) || "0", number: true },
      { title: "Scrap", of: (m) => (m.scrap_parts ? { text: number(m.scrap_parts), kind: "warning" } : "0"), number: true },
    ], (m) => `${m.source} ${m.machine}`);
    this.works = new Table(byId("group"), "Who has what in the group", [
      { title: "Source or broker", of: (w) => [w.name, { text: w.kind, soft: true }] },
      { title: "Member", of: (w) => (w.member ? [w.member, w.isOurs && { text: "this gateway", soft: true }]
        : { text: "nobody", kind: "bad" }) },
      { title: "Since", of: (w) => clock(w.since), time: true },
    ], (w) => `${w.kind}/${w.name}`);
  }

  show(state) {
    byId("machines-section").hidden = !state.machines.length;
    this.machines.show(state.machines);
    byId("group-section").hidden = !state.group;
    if (!state.group) return;
    const { name, member, works } = state.group;
    say(byId("group-name"), `The group ${name}; this gateway is its member ${member}.`);
    this.works.show(works.map((work) => ({ ...work, isOurs: work.member === member })));
  }
}
