// The page of a fleet: all gateways, the worst first, as their presence tells it.

import { follow, hasToken, useToken } from "./feed.js";
import { Table, byId, clock, number, say, span } from "./parts.js";

const pair = (told) => (told ? `${number(told.up)} of ${number(told.all)}` : "");

const gateways = new Table(byId("gateways"), "Gateways", [
  { title: "Gateway", of: (g) => [g.name, g.group && { text: `${g.group.name}: ${g.group.member}`, soft: true }] },
  { title: "State", of: (g) => (g.faults.length
    ? g.faults.map((text) => ({ text, kind: g.level })) : { text: "fine", kind: "good" }) },
  { title: "Heard", of: (g) => `${span(g.heard_s)} ago`, time: true },
  { title: "Sources", of: (g) => pair(g.sources), number: true },
  { title: "Backlog", of: (g) => (g.backlog ? [`${number(g.backlog.values)} values`,
    g.backlog.values > 0 && { text: `oldest ${span(g.backlog.age_s)}`, soft: true }] : ""), number: true },
  { title: "Last gap", of: (g) => (g.gap ? [clock(g.gap.time), { text: `${g.gap.source}: ${g.gap.cause}`, soft: true }] : ""),
    time: true },
  { title: "Version", of: (g) => g.version },
  { title: "Configuration", of: (g) => [g.configuration && { text: g.configuration, code: true },
    g.pulled && { text: `${g.pulled.revision} ${g.pulled.outcome}`, soft: true }] },
], (gateway) => gateway.topic);
const problems = new Table(byId("problems"), "Messages that are no presence", [
  { title: "Topic", of: (p) => p.topic },
  { title: "Why", of: (p) => p.why },
], (problem) => problem.topic);

function show(state) {
  document.body.dataset.fresh = "fresh";
  byId("stale").hidden = true;
  byId("ask").hidden = true;
  const verdict = byId("verdict");
  say(verdict, state.verdict.text);
  verdict.dataset.level = state.verdict.level;
  document.title = `${state.verdict.level === "good" ? "" : "! "}Fleet`;
  gateways.show(state.gateways);
  byId("unread").hidden = !state.problems.length;
  problems.show(state.problems);
}

function stale(latest) {
  if (document.body.dataset.fresh !== "fresh") return;
  document.body.dataset.fresh = "stale";
  say(byId("stale"), `No news since ${new Date(latest).toLocaleTimeString("en-GB")}: what is shown is old.`);
  byId("stale").hidden = false;
}

function refused() {
  byId("ask").hidden = false;
  say(byId("verdict"), "This page shows itself only to those who know its token.");
  say(byId("ask-told"), hasToken() ? "This token is wrong." : "");
  return new Promise((next) => byId("ask-form").addEventListener("submit", next, { once: true }));
}

byId("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("ask-token").value);
  byId("ask-token").value = "";
}, { capture: true });
follow({ onState: show, onStale: stale, onRefused: refused });
