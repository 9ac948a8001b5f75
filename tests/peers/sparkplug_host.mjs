// A Sparkplug host of another stack: MQTT.js and Eclipse Tahu's encoder and decoder.  It keeps STATE, learns nodes from
// their births, asks for births where it has none or where a number is missing, and sends commands by name.
//   node sparkplug_host.mjs <url> <host id> <group>
// stdin:  write <node> <device> <metric> <number>   |  ask <node>
// stdout: one JSON object a line: {"shown": "node/device/metric", "value": …} | {"asked": node} | {"born": node}
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const mqtt = require("mqtt");
const spb = require("sparkplug-payload").get("spBv1.0");
const { Payload } = require("sparkplug-payload/lib/sparkplugPayloadProto").org.eclipse.tahu.protobuf;
const [url, id, group] = process.argv.slice(2);
const since = Date.now();
const state = (online) => JSON.stringify({ online, timestamp: since });
const nodes = new Map();
const say = (line) => process.stdout.write(`${JSON.stringify(line, (_, value) =>
  (value && typeof value.toNumber === "function" ? value.toNumber() : typeof value === "bigint" ? Number(value) : value))}\n`);

const client = mqtt.connect(url, { clientId: id, clean: true, protocolVersion: 4,
  will: { topic: `spBv1.0/STATE/${id}`, payload: state(false), qos: 1, retain: true } });

function command(topic, name, type, value) {
  const metrics = [{ name, type, value, timestamp: Date.now() }];
  client.publish(topic, Buffer.from(spb.encodePayload({ timestamp: Date.now(), metrics })), { qos: 0 });
}

function ask(node) {
  say({ asked: node });
  command(`spBv1.0/${group}/NCMD/${node}`, "Node Control/Rebirth", "Boolean", true);
}

client.on("connect", () => client.subscribe(`spBv1.0/${group}/#`, { qos: 1 }, () =>
  client.publish(`spBv1.0/STATE/${id}`, state(true), { qos: 1, retain: true })));

client.on("message", (topic, payload) => {
  const [, , verb, node, device = ""] = topic.split("/");
  if (verb.endsWith("CMD") || verb === "NDEATH") {
    if (verb === "NDEATH") nodes.delete(node);
    return;
  }
  const raw = Payload.decode(payload);
  const seq = Number(raw.seq);
  if (verb === "NBIRTH") nodes.set(node, { seq: -1, metrics: new Map() });
  const known = nodes.get(node);
  if (!known || seq !== (known.seq + 1) % 256) {
    if (!known || !known.asked) {
      nodes.set(node, { ...(known ?? { metrics: new Map() }), seq: -2, asked: true });
      ask(node);
    }
    return;
  }
  known.seq = seq;
  const isBirth = verb.endsWith("BIRTH");
  if (!isBirth) raw.metrics.forEach((metric) => { metric.datatype = known.metrics.get(Number(metric.alias))?.datatype; });
  else raw.metrics.forEach((metric) => known.metrics.set(Number(metric.alias), { name: metric.name, datatype: metric.datatype }));
  for (const metric of spb.decodePayload(Payload.encode(raw).finish()).metrics) {
    const name = metric.name ?? known.metrics.get(Number(metric.alias))?.name;
    if (!metric.isHistorical) say({ shown: [node, device, name].filter(Boolean).join("/"), value: metric.value });
  }
  if (isBirth) say({ born: [node, device].filter(Boolean).join("/") });
});

for await (const line of createInterface({ input: process.stdin })) {
  const [what, node, device, metric, value] = line.split(" ");
  if (what === "ask") ask(node);
  else command(`spBv1.0/${group}/DCMD/${node}/${device}`, metric, "Double", Number(value));
}
client.publish(`spBv1.0/STATE/${id}`, state(false), { qos: 1, retain: true }, () => client.end());
