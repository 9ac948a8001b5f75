// The live page: follows the feed, shows each state, and greys out when the feed stops.

import { act, ask, follow, hasToken, useToken } from "./feed.js";
import { Graph } from "./graph.js";
import { Happened } from "./happened.js";
import { byId, clock, say } from "./parts.js";
import { Peers } from "./peers.js";
import { Plant } from "./plant.js";
import { Tags } from "./tags.js";

async function done(path) {
  const told = byId("told");
  say(told, "…");
  try {
    say(told, await act(path));
  } catch (error) {
    say(told, `Not done: ${error.message}`);
  }
}

const peers = new Peers((broker) => hasToken() && { text: "Offer again", label: `Offer again: the refused messages of ${broker.name}`,
  act: () => done(`/brokers/${encodeURIComponent(broker.name)}/release`) });
const happened = new Happened(({ thumbprint, name }) => !hasToken() ? [] : [
  { text: "Trust", label: `Trust: the certificate of ${name}`, act: () => done(`/certificates/${thumbprint}/trust`) },
  { text: "Refuse", label: `Refuse: the certificate of ${name}`, act: () => done(`/certificates/${thumbprint}/reject`) },
]);
const graph = new Graph();
const plant = new Plant();
new Tags();
let hasBegun = false;

async function begin() {
  hasBegun = true;
  try {
    graph.begin(await ask("/history"));
    await happened.lookAtGaps();
  } catch { hasBegun = false; }
}

function show(state) {
  document.body.dataset.fresh = "fresh";
  byId("stale").hidden = true;
  byId("ask").hidden = true;
  if (!hasBegun) begin();
  const verdict = byId("verdict");
  say(verdict, state.verdict.text);
  verdict.dataset.level = state.verdict.level;
  document.title = `${state.verdict.level === "good" ? "" : "! "}${state.name}`;
  say(byId("name"), state.name);
  say(byId("about"), `version ${state.version}, started ${clock(state.started)}, configuration ${state.configuration}`);
  peers.show(state);
  plant.show(state);
  graph.show(state);
  happened.show(state);
  byId("read-only").hidden = state.may_act;
  byId("act-form").hidden = !state.may_act || hasToken();
  byId("acting").hidden = !state.may_act || !hasToken();
}

function stale(latest) {
  hasBegun = false;
  if (document.body.dataset.fresh !== "fresh") return;
  document.body.dataset.fresh = "stale";
  say(byId("stale"), `No news from the gateway since ${new Date(latest).toLocaleTimeString("en-GB")}: what is shown is old.`);
  byId("stale").hidden = false;
}

function refused() {
  byId("ask").hidden = false;
  say(byId("verdict"), "This gateway shows itself only to those who know its token.");
  say(byId("ask-told"), hasToken() ? "This token is wrong." : "");
  return new Promise((next) => byId("ask-form").addEventListener("submit", next, { once: true }));
}

function taking(form, input) {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(byId(input).value);
    byId(input).value = "";
  }, { capture: true });
}

taking("ask-form", "ask-token");
taking("act-form", "act-token");
byId("reload").addEventListener("click", () => done("/reload"));
byId("forget").addEventListener("click", () => useToken(""));
follow({ onState: show, onStale: stale, onRefused: refused });
