// A node-opcua server for the contract tests: same address space and same commands as tests/support/opcua_server.py.
// Usage: node opcua_server.js PORT MACHINES PKI_FOLDER [JSON options of OPCUAServer.serverCapabilities …]
//    or: node opcua_server.js host DESCRIPTOR PKI_FOLDER, which serves many in turn: see `host`.
"use strict";
const net = require("net");
const path = require("path");
const readline = require("readline");
const { OPCUAServer, OPCUACertificateManager, MessageSecurityMode, SecurityPolicy, StatusCodes, DataType, Variant,
        standardUnits, addAggregateSupport } = require("node-opcua");

const { NODESETS, addStandardMachines } = require("./standard_machines.js");

// The clock of this process, so many milliseconds beside the true one.
const TrueDate = Date;
let shift = 0;
class ShiftedDate extends TrueDate {
  constructor(...given) { if (given.length) super(...given); else super(TrueDate.now() + shift); }
  static now() { return TrueDate.now() + shift; }
}
globalThis.Date = ShiftedDate;

// A limit alarm on a temperature: above 90 it is active, severity 800.
function addAlarm(space, own, folder, temperature, extra) {
  folder.setEventNotifier(1);
  folder.addReference({ referenceType: "HasEventSource", nodeId: temperature });
  space.rootFolder.objects.server.addReference({ referenceType: "HasNotifier", nodeId: folder });
  const alarm = own.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
    browseName: "Hot", conditionName: "Hot", conditionSource: temperature, inputNode: temperature,
    optionals: extra.alarm === "to confirm" ? ["ConfirmedState", "Confirm"] : [],
    organizedBy: folder, highHighLimit: 100, highLimit: 90, lowLimit: -10, lowLowLimit: -20,
  });
  alarm.setEnabledState(true);
  alarm.severity.setValueFromSource({ dataType: DataType.UInt16, value: 800 });
  return alarm;
}

// Grid, a matrix of 2 x 2; Rights, an option set; Axis, a structure with nested ones, an enumeration and an array.
function addShapes(own, space, folder) {
  own.addVariable({ componentOf: folder, browseName: "Grid", nodeId: "s=Grid", dataType: "Int32", valueRank: 2,
    arrayDimensions: [2, 2], value: { dataType: DataType.Int32, arrayType: 2, dimensions: [2, 2], value: new Int32Array([1, 2, 3, 4]) } });
  own.addVariable({ componentOf: folder, browseName: "Rights", nodeId: "s=Rights", dataType: "AccessLevelType",
    value: { dataType: DataType.Byte, value: 1 } });
  const axis = space.constructExtensionObject(space.findDataType("AxisInformation"), { axisSteps: [1, 2] });
  own.addVariable({ componentOf: folder, browseName: "Axis", nodeId: "s=Axis", dataType: "AxisInformation",
    value: { dataType: DataType.ExtensionObject, value: axis } });
}

// A server that listens: its commands, and `cut`, which ends it as a kill does, without a word to its clients.
async function opened(port, machines, pki, extra) {
  const manager = new OPCUACertificateManager({ rootFolder: pki, automaticallyAcceptUnknownCertificate: extra.strict !== true });
  await manager.initialize();
  const users = new OPCUACertificateManager({ rootFolder: `${pki}/users`, automaticallyAcceptUnknownCertificate: true });
  await users.initialize();
  const secure = extra.secure === true;
  const server = new OPCUAServer({
    port,
    hostname: "127.0.0.1",
    resourcePath: "/",
    serverCertificateManager: manager,
    userCertificateManager: users,
    securityModes: secure ? [MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt] : [MessageSecurityMode.None],
    securityPolicies: secure
      ? [SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss]
      : [SecurityPolicy.None],
    allowAnonymous: extra.anonymous !== false,
    userManager: { isValidUser: (name, password) => name === "operator" && password === "s3cret" },
    serverCapabilities: {
      maxSessions: extra.maxSessions || 50,
      maxBrowseContinuationPoints: 10,
      maxMonitoredItems: 1_000_000,
      maxMonitoredItemsPerSubscription: extra.maxMonitoredItemsPerSubscription || 1_000_000,
      operationLimits: extra.operationLimits || {},
    },
    serverInfo: { applicationUri: "urn:tests:node-opcua" },
    ...(extra.standard ? { nodeset_filename: NODESETS } : {}),
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace("urn:tests:line");
  if (extra.subscriptions === false) server._on_CreateSubscriptionRequest = undefined;  // the stack refuses what it has not got
  space.installAlarmsAndConditionsService();
  const folder = own.addObject({ browseName: "line-1", organizedBy: space.rootFolder.objects });
  const variables = new Map();
  const addMachine = (number) => {
    const machine = own.addObject({ browseName: `press-${number}`, componentOf: folder });
    for (const [name, dataType, value] of [["Counter", "Int32", 0], ["Temperature", "Double", 20.5],
                                           ["State", "String", "Idle"], ["Running", "Boolean", true]]) {
      const id = `press-${number}.${name}`;
      const add = name === "Temperature" ? own.addAnalogDataItem.bind(own) : own.addVariable.bind(own);
      variables.set(id, add({ componentOf: machine, browseName: name, nodeId: `s=${id}`, dataType,
        ...(name === "Temperature" ? { engineeringUnits: standardUnits.degree_celsius, engineeringUnitsRange: { low: 0, high: 100 } } : {}),
        value: { dataType: DataType[dataType], value } }));
    }
    return machine;
  };
  for (let number = 1; number <= machines; number++) addMachine(number);
  if (extra.history) addAggregateSupport(space);
  if (extra.history) space.installHistoricalDataNode(variables.get(extra.history === true ? "press-2.Counter" : extra.history));
  const modelChanged = () => space.rootFolder.objects.server.raiseEvent("BaseModelChangeEventType", {});
  const hot = extra.alarm ? addAlarm(space, own, folder, variables.get("press-1.Temperature"), extra) : undefined;
  const many = [];
  let group = folder;
  for (let number = 0; number < (extra.extra || 0); number++) {
    if (extra.per_group && number % extra.per_group === 0) {
      group = own.addObject({ browseName: `group-${number / extra.per_group}`, componentOf: folder });
    }
    many.push(own.addVariable({ componentOf: group, browseName: `v${number}`, nodeId: `s=v${number}`, dataType: "Double",
      value: { dataType: DataType.Double, value: number } }));
  }
  if (extra.array) {
    const array = own.addVariable({ componentOf: folder, browseName: "Array", nodeId: "s=Array", dataType: "Int32", valueRank: 1,
      value: { dataType: DataType.Int32, arrayType: 1, value: new Int32Array([1, 2, 3]) } });
    variables.set("Array", array);
  }
  if (extra.shapes) addShapes(own, space, folder);
  const standard = extra.standard ? addStandardMachines(space, own, variables) : undefined;
  await server.start();
  const connections = new Set();
  for (const endpoint of server.endpoints) {
    endpoint._server.on("connection", (each) => {
      connections.add(each);
      each.once("close", () => connections.delete(each));
    });
  }
  let ended = false;
  const cut = async () => {
    ended = true;
    const released = server.endpoints.map((endpoint) => endpoint._initiateListenerRelease());
    for (const each of connections) each.destroy();
    await Promise.all(released);
    await server.shutdown(0);
  };

  const commands = {
    is: (name, ...words) => standard.set(name, words.join(" ")),
    pass: (seconds) => standard.pass(seconds),
    set: (name, value) => variables.get(name).setValueFromSource({ dataType: DataType.Double, value: Number(value) }),
    count: async (first, last, period, name = "press-1.Counter") => {
      for (let value = Number(first); value < Number(last) && !ended; value++) {
        variables.get(name).setValueFromSource({ dataType: DataType.Int32, value });
        if (period) await new Promise((done) => setTimeout(done, Number(period) * 1000));
      }
    },
    stir: async (seconds) => {  // every variable of `extra` once, spread over so many seconds
      for (let first = 0; first < many.length && !ended; first += 1000) {
        for (const variable of many.slice(first, first + 1000)) {
          variable.setValueFromSource({ dataType: DataType.Double, value: variable.readValue().value.value + 1 });
        }
        await new Promise((done) => setTimeout(done, Number(seconds) * 1e6 / many.length));
      }
    },
    run: (...given) => { commands.count(...given).catch(() => {}); },
    history: (first, last) => {  // writes to the variable whose history is kept
      for (let value = Number(first); value < Number(last); value++) {
        variables.get("press-2.Counter").setValueFromSource({ dataType: DataType.Int32, value });
      }
    },
    add: (number, tells) => { addMachine(number); if (tells) modelChanged(); },
    remove: (number, tells) => { space.deleteNode(folder.getComponentByName(`press-${number}`, own.index)); if (tells) modelChanged(); },
    acknowledged: () => hot.ackedState.id.readValue().value.value,
    bad: () => variables.get("press-1.Temperature").setValueFromSource(new Variant({ dataType: DataType.Null }),
      StatusCodes.BadSensorFailure),
    event: (severity, message) => server.engine.addressSpace.rootFolder.objects.server.raiseEvent("BaseEventType", {
      severity: { dataType: DataType.UInt16, value: Number(severity) },
      message: { dataType: DataType.LocalizedText, value: { text: message } },
      sourceName: { dataType: DataType.String, value: "Server" },
    }),
    "drop-subscriptions": (interval) => {  // all, or those with this publishing interval in milliseconds
      const manager = server.engine;
      const meant = (engine) => [...engine.subscriptions].filter((s) => !interval || s.publishingInterval === Number(interval));
      for (const session of Object.values(manager._sessions)) {
        for (const subscription of meant(session.publishEngine)) session.deleteSubscription(subscription.id);
      }
      if (manager._orphanPublishEngine) {
        for (const subscription of meant(manager._orphanPublishEngine)) {
          subscription.terminate();
          manager._orphanPublishEngine.detach_subscription(subscription);
        }
      }
    },
    "drop-sessions": async () => {
      for (const session of Object.values(server.engine._sessions)) {
        server.engine.closeSession(session.authenticationToken, false, "Terminated");
      }
    },
    clock: (seconds) => { shift += Number(seconds) * 1000; },
    transfers: (allowed) => {
      if (allowed === "no") server._on_TransferSubscriptionsRequest = undefined;
      else delete server._on_TransferSubscriptionsRequest;
    },
    sessions: () => Object.keys(server.engine._sessions).length,
  };
  return { commands, cut };
}

// Obeys commands line by line until there are no more.
async function obey(lines, commands, say) {
  for await (const line of lines) {
    const [verb, ...rest] = line.trim().split(/\s+/);
    try {
      const answer = commands[verb] ? await commands[verb](...rest) : "unknown";
      say(`done ${line.trim()} ${answer ?? ""}`.trim());
    } catch (error) {
      say(`error ${error}`);
    }
  }
}

// Serves each connection to the listening socket DESCRIPTOR with a server of its own: the first line says which, in JSON,
// the further ones are its commands, and with the connection it ends.  Loading node-opcua and compiling it costs most
// of a start.  Without security all have the same certificate.
function host(descriptor, pki) {
  let made = 0;
  net.createServer({ allowHalfOpen: true }, async (connection) => {
    connection.on("error", () => {});
    const say = (line) => connection.write(line + "\n");
    const lines = readline.createInterface({ input: connection })[Symbol.asyncIterator]();
    try {
      const { port, machines, options } = JSON.parse((await lines.next()).value);
      shift = 0;
      made += options.secure ? 1 : 0;
      const server = await opened(port, machines, path.join(pki, options.secure ? `secure-${made}` : "open"), options);
      say("ready");
      await obey(lines, server.commands, say);
      await server.cut();
    } catch (error) {
      say(`error ${error}`);
    }
    connection.end();
  }).listen({ fd: Number(descriptor) });
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function main(port, machines, pki, options) {
  if (port === "host") return host(machines, pki);
  const { commands } = await opened(Number(port), Number(machines), pki, JSON.parse(options || "{}"));
  console.log("ready");
  await obey(readline.createInterface({ input: process.stdin }), commands, console.log);
  process.exit(0);
}
main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
