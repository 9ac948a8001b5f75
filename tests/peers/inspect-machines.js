// A client of another stack (node-opcua) looks at the factory the way a plant's software would: it finds the machines
// under Objects/Machines, asks their types what they must have, reads all of it, subscribes to events, calls a method.
// Usage: node inspect-machines.js URL MACHINE METHOD   (prints one JSON object)
const opcua = require("node-opcua");
const {
  AttributeIds, BrowseDirection, NodeClassMask, OPCUAClient, MessageSecurityMode, SecurityPolicy, Variant,
  ClientSubscription, ClientMonitoredItem, constructEventFilter, TimestampsToReturn, resolveNodeId, StatusCodes,
} = opcua;

const [url, machineName, methodName] = process.argv.slice(2);
const MANDATORY = "ns=0;i=78";

async function references(session, nodeId, direction, type, includeSubtypes = true) {
  const result = await session.browse({
    nodeId, browseDirection: direction, referenceTypeId: type, includeSubtypes, nodeClassMask: 0, resultMask: 63,
  });
  return result.references ?? [];
}

const name = (reference) => reference.browseName.toString();

async function children(session, nodeId) {
  return references(session, nodeId, BrowseDirection.Forward, "HierarchicalReferences");
}

async function typeOf(session, nodeId) {
  const found = await references(session, nodeId, BrowseDirection.Forward, "HasTypeDefinition");
  return found.length ? found[0].nodeId : null;
}

// The mandatory children that a type and its supertypes declare: browse name -> node id of the declaration.
async function mandatoryOf(session, typeId, cache) {
  const key = typeId.toString();
  if (cache.has(key)) return cache.get(key);
  const found = new Map();
  for (const above of await references(session, typeId, BrowseDirection.Inverse, "HasSubtype")) {
    for (const [k, v] of await mandatoryOf(session, above.nodeId, cache)) found.set(k, v);
  }
  for (const [k, v] of await mandatoryChildren(session, typeId)) found.set(k, v);
  cache.set(key, found);
  return found;
}

async function mandatoryChildren(session, nodeId) {
  const found = new Map();
  for (const child of await children(session, nodeId)) {
    const rules = await references(session, child.nodeId, BrowseDirection.Forward, "HasModellingRule");
    if (rules.some((rule) => rule.nodeId.toString() === MANDATORY)) found.set(name(child), child.nodeId);
  }
  return found;
}

async function inspect(session, nodeId, path, report, cache, seen) {
  if (seen.has(nodeId.toString())) return;
  seen.add(nodeId.toString());
  const own = await children(session, nodeId);
  const typeId = await typeOf(session, nodeId);
  if (typeId) {
    for (const mandatory of (await mandatoryOf(session, typeId, cache)).keys()) {
      report.mandatory += 1;
      if (!own.some((child) => name(child) === mandatory)) report.missing.push(`${path}/${mandatory}`);
    }
  }
  for (const child of own) {
    const here = `${path}/${name(child)}`;
    if (child.nodeClass === NodeClassMask.Variable) {
      const value = await session.read({ nodeId: child.nodeId, attributeId: AttributeIds.Value });
      report.read[here] = value.statusCode.name;
      if (value.statusCode.isGood() && value.value.value === null) report.empty.push(here);
    }
    if (child.nodeClass !== NodeClassMask.Method) await inspect(session, child.nodeId, here, report, cache, seen);
  }
}

async function subscribeToEvents(session, nodeId) {
  const subscription = ClientSubscription.create(session, {
    requestedPublishingInterval: 100, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 100, publishingEnabled: true, priority: 1,
  });
  const filter = constructEventFilter(["EventType", "SourceName", "Message", "Severity", "Time", "State"]);
  const item = ClientMonitoredItem.create(
    subscription, { nodeId, attributeId: AttributeIds.EventNotifier },
    { samplingInterval: 0, discardOldest: true, queueSize: 1000, filter }, TimestampsToReturn.Both,
  );
  await new Promise((resolve, reject) => { item.on("initialized", resolve); item.on("err", reject); });
  return { subscription, item };
}

async function main() {
  const client = OPCUAClient.create({
    endpointMustExist: false, securityMode: MessageSecurityMode.None, securityPolicy: SecurityPolicy.None,
    connectionStrategy: { maxRetry: 1, initialDelay: 100 },
  });
  await client.connect(url);
  const session = await client.createSession();
  const report = { machines: [], mandatory: 0, missing: [], empty: [], read: {}, types: {}, event: null, call: null };
  const cache = new Map();
  const namespaces = (await session.readNamespaceArray());
  const machinery = namespaces.indexOf("http://opcfoundation.org/UA/Machinery/");
  const machinesId = `ns=${machinery};i=1001`;
  const machines = await references(session, machinesId, BrowseDirection.Forward, "Organizes");
  for (const machine of machines) {
    report.machines.push(name(machine));
    const type = await typeOf(session, machine.nodeId);
    report.types[machine.browseName.name] = (await session.read({ nodeId: type, attributeId: AttributeIds.BrowseName })).value.value.name;
    await inspect(session, machine.nodeId, machine.browseName.name, report, cache, new Set());
  }
  const { subscription, item } = await subscribeToEvents(session, machinesId);
  const wanted = machines.find((machine) => machine.browseName.name === machineName);
  const heard = new Promise((resolve) => {
    item.on("changed", (fields) => {
      const event = { source: fields[1].value, message: fields[2].value?.text, severity: fields[3].value };
      if (event.source?.endsWith(`/${machineName}`) && event.message?.includes(" is held")) resolve(event);
    });
  });
  const methods = await children(session, wanted.nodeId);
  const method = methods.find((child) => child.browseName.name === methodName);
  const call = async () => (await session.call({ objectId: wanted.nodeId, methodId: method.nodeId, inputArguments: [] })).statusCode.name;
  report.call = await call();
  report.event = await Promise.race([heard, new Promise((resolve) => setTimeout(() => resolve(null), 8000))]);
  report.again = await call();
  await subscription.terminate();
  await session.close();
  await client.disconnect();
  console.log(JSON.stringify(report));
}

main().catch((error) => { console.error(error); process.exit(1); });
