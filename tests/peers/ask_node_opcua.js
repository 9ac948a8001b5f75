// A client of node-opcua that does what it is told: one JSON request per line on standard input, one JSON answer each.
// Usage: node ask_node_opcua.js URL      Requests: see tests/support/clients.py.
const readline = require("node:readline");
const opcua = require("node-opcua");
const {
  AttributeIds, ClientMonitoredItem, ClientSubscription, DataType, EventFilter, MessageSecurityMode, OPCUAClient,
  SecurityPolicy, SimpleAttributeOperand, TimestampsToReturn, Variant, StatusCodes, resolveNodeId,
} = opcua;

const events = [];
const waiting = [];
let session, subscription;

const KINDS = { bytes: DataType.ByteString, text: DataType.LocalizedText, number: DataType.Double,
  whole: DataType.Int32, unsigned: DataType.UInt32, boolean: DataType.Boolean, string: DataType.String };

function argument([kind, value]) {
  if (kind === "bytes") return new Variant({ dataType: DataType.ByteString, value: Buffer.from(value, "hex") });
  if (kind === "text") return new Variant({ dataType: DataType.LocalizedText, value: { text: value, locale: "en" } });
  return new Variant({ dataType: KINDS[kind], value });
}

function plain(variant) {
  const value = variant?.value ?? null;
  if (Buffer.isBuffer(value)) return value.toString("hex");
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value, (each) => plain({ value: each }));
  if (value instanceof opcua.NodeId) return value.toString();
  if (value && typeof value === "object" && "text" in value) return value.text;
  if (value && typeof value === "object" && "_value" in value) return value.name;
  return value;
}

const does = {
  async monitor({ node, fields, type }) {
    subscription ??= ClientSubscription.create(session, {
      requestedPublishingInterval: 20, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 20,
      maxNotificationsPerPublish: 1000, publishingEnabled: true, priority: 1,
    });
    const operand = (path) => new SimpleAttributeOperand({
      typeDefinitionId: resolveNodeId("ns=0;i=2041"), attributeId: path ? AttributeIds.Value : AttributeIds.NodeId,
      browsePath: path ? path.split("/") : [],
    });
    const filter = new EventFilter({ selectClauses: fields.map(operand) });
    if (type) filter.whereClause = new opcua.ContentFilter({ elements: [opcua.ofType(type)] });
    const item = await subscription.monitor(
      { nodeId: node, attributeId: AttributeIds.EventNotifier }, { queueSize: 1000, filter, samplingInterval: 0 },
      TimestampsToReturn.Both,
    );
    item.on("changed", (values) => {
      const event = {};
      fields.forEach((path, index) => { event[path] = plain(values[index]); });
      (waiting.shift() ?? ((each) => events.push(each)))(event);
    });
    return { subscription: subscription.subscriptionId, item: item.monitoredItemId };
  },
  async event() {
    return events.shift() ?? new Promise((resolve) => waiting.push(resolve));
  },
  async call({ object, method, args }) {
    const result = await session.call({ objectId: object, methodId: method, inputArguments: args.map(argument) });
    return { status: result.statusCode.name, outputs: (result.outputArguments ?? []).map(plain) };
  },
  async browse({ node, most }) {
    session.requestedMaxReferencesPerNode = most;
    const result = await session.browse({ nodeId: node, browseDirection: 0, includeSubtypes: true, resultMask: 63,
      referenceTypeId: "ns=0;i=33" });
    return page(result);
  },
  async next({ point, release }) {
    return page(await session.browseNext(Buffer.from(point, "hex"), release));
  },
  async read({ node, attribute, range }) {
    const value = await session.read({ nodeId: node, attributeId: attribute ?? 13, indexRange: range ?? undefined });
    return { status: value.statusCode.name, value: plain(value.value) };
  },
};

function page(result) {
  return { status: result.statusCode.name, point: result.continuationPoint?.toString("hex") ?? "",
    names: (result.references ?? []).map((each) => each.browseName.name) };
}

async function main() {
  const client = OPCUAClient.create({ endpointMustExist: false, securityMode: MessageSecurityMode.None,
    securityPolicy: SecurityPolicy.None, connectionStrategy: { maxRetry: 1 } });
  await client.connect(process.argv[2]);
  session = await client.createSession();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    try {
      console.log(JSON.stringify(await does[request.do](request)));
    } catch (error) {
      console.log(JSON.stringify({ error: error.message }));
    }
  }
  await session.close();
  await client.disconnect();
}
main();
