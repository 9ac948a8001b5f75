// Decodes Sparkplug payloads with the reader of Eclipse Tahu.  One line in, one line out:
//   <topic> <base64 of a payload>  ->  the payload as JSON; integers of 64 bits are texts
// Data names neither metric nor type: both are remembered from the births of the same edge node.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { gunzipSync, inflateSync } from "node:zlib";

const require = createRequire(import.meta.url);
const { get } = require("sparkplug-payload");
const { org } = require("sparkplug-payload/lib/sparkplugPayloadProto");
const Payload = org.eclipse.tahu.protobuf.Payload;
const reader = get("spBv1.0");
const types = new Map();
const ITEMS = { 22: ["Int8", 1], 23: ["Int16", 2], 24: ["Int32", 4], 25: ["BigInt64", 8], 26: ["Uint8", 1],
  27: ["Uint16", 2], 28: ["Uint32", 4], 29: ["BigUint64", 8], 30: ["Float32", 4], 31: ["Float64", 8],
  34: ["BigInt64", 8] };

const own = (object, key) => Object.prototype.hasOwnProperty.call(object, key);

function array(type, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === 33) return Buffer.from(bytes).toString("utf8").split("\0").slice(0, -1);
  if (type === 32) {
    return Array.from({ length: view.getUint32(0, true) }, (_, n) => Boolean(bytes[4 + (n >> 3)] & (0x80 >> (n & 7))));
  }
  const [form, size] = ITEMS[type];
  return Array.from({ length: bytes.length / size }, (_, n) => view[`get${form}`](n * size, true));
}

// npm may give that reader another copy of `long` than protobufjs has; then it leaves an Int64 unsigned.
const signed = (type, value) => (type === 4 && value && value.toSigned ? value.toSigned() : value);

const CELLS = { 1: "intValue", 2: "intValue", 3: "intValue", 4: "longValue", 5: "intValue", 6: "intValue", 7: "longValue",
  8: "longValue", 9: "floatValue", 10: "doubleValue", 11: "booleanValue", 12: "stringValue", 13: "longValue", 14: "stringValue" };

const CELL = { 1: (value) => value << 24 >> 24, 2: (value) => value << 16 >> 16, 3: (value) => value | 0,
  4: (value) => (value.toSigned ? value.toSigned() : value), 7: Number };

// That reader refuses a null of these types, and DataSets with integers of less than 64 bits, with UInt64 and with
// DateTime: it gets an empty one for a null, and cells are taken from what Tahu's schema decoded, by the type of their column.
function cells(set) {
  return { columns: set.columns, types: set.types, numOfColumns: Number(set.numOfColumns), rows: set.rows.map((row) =>
    row.elements.map((cell, n) => {
      const field = CELLS[set.types[n]];
      if (!own(cell, field)) throw new Error(`a cell of type ${set.types[n]} has ${Object.keys(cell)}`);
      return (CELL[set.types[n]] ?? ((value) => value))(cell[field]);
    })) };
}

function takeSets(metrics, found = new Map(), path = "") {
  metrics.forEach((metric, n) => {
    if (metric.isNull && metric.datatype === 16) metric.datasetValue = Payload.DataSet.create({ numOfColumns: 0 });
    if (metric.isNull && metric.datatype === 19) metric.templateValue = Payload.Template.create({});
    if (metric.isNull) return;
    if (metric.templateValue) takeSets(metric.templateValue.metrics, found, `${path}${n}/`);
    if (!metric.datasetValue) return;
    found.set(`${path}${n}/`, cells(metric.datasetValue));
    metric.datasetValue = Payload.DataSet.create({ numOfColumns: 0 });
  });
  return found;
}

function putSets(metrics, found, path = "") {
  metrics.forEach((metric, n) => {
    if (metric.type === "Template" && metric.value) putSets(metric.value.metrics ?? [], found, `${path}${n}/`);
    if (found.has(`${path}${n}/`)) metric.value = found.get(`${path}${n}/`);
  });
}

// A payload within a payload: how Tahu compresses, and its clients with it.
function whole(bytes) {
  const outer = Payload.decode(bytes);
  if (outer.uuid !== "SPBV1.0_COMPRESSED") return [outer, null];
  const algorithm = outer.metrics.find((metric) => metric.name === "algorithm").stringValue;
  const inner = Payload.decode(algorithm === "GZIP" ? gunzipSync(outer.body) : inflateSync(outer.body));
  return [inner, { algorithm, seq: own(outer, "seq") ? Number(outer.seq) : null }];
}

function read(topic, bytes) {
  const [, group, verb, node] = topic.split("/");
  const [raw, compressed] = whole(bytes);
  const known = raw.metrics.map((metric) => {
    const key = `${group}/${node}/${metric.alias}`;
    if (verb.endsWith("BIRTH") && own(metric, "alias")) types.set(key, metric.datatype);
    return own(metric, "datatype") ? metric.datatype : types.get(key);
  });
  const facts = raw.metrics.map((metric) => Object.keys(metric));
  raw.metrics.forEach((metric, n) => { if (known[n] !== undefined) metric.datatype = known[n]; });
  const sets = takeSets(raw.metrics);
  const told = reader.decodePayload(Payload.encode(raw).finish());
  putSets(told.metrics, sets);
  return {
    ...(compressed ? { compressed } : {}),
    timestamp: own(raw, "timestamp") ? Number(raw.timestamp) : null,
    seq: own(raw, "seq") ? Number(raw.seq) : null,
    metrics: told.metrics.map((metric, n) => ({
      ...metric,
      value: known[n] >= 22 && raw.metrics[n].bytesValue ? array(known[n], raw.metrics[n].bytesValue) : signed(known[n], metric.value),
      datatype: known[n] ?? null, fields: facts[n],
    })),
  };
}

function plain(key, value) {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value === "bigint") return value.toString();
  if (value && value.type === "Buffer") return { base64: Buffer.from(value.data).toString("base64") };
  return value && typeof value.low === "number" && typeof value.high === "number" && "unsigned" in value
    ? BigInt[value.unsigned ? "asUintN" : "asIntN"](64, (BigInt(value.high) << 32n) | BigInt(value.low >>> 0)).toString()
    : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [topic, payload] = line.split("\t");
  let told;
  try {
    told = read(topic, Buffer.from(payload, "base64"));
  } catch (error) {
    told = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(told, plain) + "\n");
}
