// Sources and brokers.

import { Table, byId, clock, element, number, size, span } from "./parts.js";

const KINDS = { up: "good", down: "bad", connecting: "warning" };
const WORDS = { up: "connected", down: "away", connecting: "connecting" };

const name = (peer) => [peer.name, { text: peer.address, soft: true, code: true }];
const state = (peer) => [{ text: WORDS[peer.state], kind: KINDS[peer.state] }, peer.reason,
  peer.advice && { text: peer.advice, soft: true }];
const since = (peer) => [clock(peer.since), { text: `for ${span(peer.for_s)}`, soft: true }];

function tags(source) {
  const { total, uncertain, bad, refused } = source.tags;
  return [`${number(source.tags.good)} of ${number(total)} good`, bad && { text: `${number(bad)} bad`, kind: "bad" },
    uncertain && { text: `${number(uncertain)} uncertain`, kind: "warning" },
    refused && { text: `${number(refused)} refused by the server`, kind: "bad" }];
}

export class Peers {
  constructor(onRelease) {
    this.sources = new Table(byId("sources"), "Sources", [
      { title: "Source", of: name },
      { title: "State and why", of: state },
      { title: "Since", of: since, time: true },
      { title: "Tags", of: tags },
      { title: "Values/s", of: (s) => number(s.values_per_second), number: true },
      { title: "Age of the newest", of: (s) => s.newest_age_s == null ? "none yet" : span(Math.max(0, s.newest_age_s)),
        number: true },
      { title: "Gaps in 24 h", of: (s) => (s.gaps_24h ? { text: number(s.gaps_24h), kind: "warning" } : "0"),
        number: true },
    ], (source) => source.name);
    this.brokers = new Table(byId("brokers"), "Brokers", [
      { title: "Broker", of: name },
      { title: "State and why", of: state },
      { title: "Since", of: since, time: true },
      { title: "On the disk", of: (b) => [`${number(b.stored_values)} values`,
        b.stored_values > 0 && { text: `oldest ${span(b.oldest_age_s)}`, soft: true }], number: true },
      { title: "Values/s", of: (b) => number(b.values_per_second), number: true },
      { title: "Refused", of: (b) => this.refused(b, onRelease) },
      { title: "Lost", of: lost },
    ], (broker) => broker.name);
    this.outbox = element("p", { class: "soft" });
    byId("brokers").append(this.outbox);
  }

  refused(broker, onRelease) {
    const topics = broker.refused_topics.flatMap(({ topic, reason }) =>
      [{ text: topic, kind: "bad", code: true }, { text: reason, soft: true }]);
    const again = onRelease(broker);
    return [...topics, broker.refused_messages ? `${number(broker.refused_messages)} messages wait` : "",
      broker.dead_letters ? { text: `${number(broker.dead_letters)} dead letters`, kind: "warning" } : "",
      ...(again && broker.refused_messages ? [again] : []), !topics.length && !broker.dead_letters ? "nothing" : ""];
  }

  show(state) {
    this.sources.show(state.sources);
    this.brokers.show(state.brokers);
    const { bytes, capacity_bytes: capacity, trouble } = state.outbox;
    const share = Math.round((100 * bytes) / capacity);
    const text = `Buffer on the disk: ${size(bytes)} of ${size(capacity)} (${share} %)${trouble ? `; ${trouble}` : ""}`;
    if (this.outbox.textContent !== text) this.outbox.textContent = text;
  }
}

function lost(broker) {
  const reasons = Object.entries(broker.dropped_values);
  const missing = broker.imbalance_values
    ? [{ text: `${number(broker.imbalance_values)} values are missing in the books`, kind: "bad" }] : [];
  if (!reasons.length && !missing.length) return { text: "nothing", kind: "good" };
  return [...missing, ...reasons.map(([reason, values]) => ({ text: `${number(values)} ${reason}`, kind: "bad" }))];
}
