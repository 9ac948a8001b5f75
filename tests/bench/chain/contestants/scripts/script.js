// What a person writes with node-opcua and mqtt.js:  node script.js URL VARIABLES BROKER_PORT response|value
// One MQTT message per publish response, or one per value; QoS 1, MQTT 5.
const {
  OPCUAClient, ClientMonitoredItemGroup, AttributeIds, TimestampsToReturn,
} = require("node-opcua");
const mqtt = require("mqtt");

const [url, count, port, mode] = process.argv.slice(2);
const AT_ONCE = 1000;

const nameOf = (number) => `v${String(number).padStart(6, "0")}`;
const told = (name, data) => ({
  name, value: data.value.value, time: data.sourceTimestamp.toISOString(), status: data.statusCode.value,
});
const complain = (error) => { if (error) console.error(error.message); };

async function main() {
  const broker = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5 });
  const client = OPCUAClient.create({
    endpointMustExist: false, keepSessionAlive: true, requestedSessionTimeout: 600000,
    transportTimeout: 120000, defaultTransactionTimeout: 120000,
  });
  await client.connect(url);
  const session = await client.createSession();
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100, requestedLifetimeCount: 10000, requestedMaxKeepAliveCount: 50,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 10,
  });
  const names = new Map();
  const publish = (what) => broker.publish("bench/node", JSON.stringify(what), { qos: 1 }, complain);
  const forward = (data) => {
    const values = data.monitoredItems.map((item) => told(names.get(item.clientHandle), item.value));
    publish({ values });
  };
  const early = []; // values may come before the names of their handles are known
  if (mode === "response") {
    subscription.on("raw_notification", (message) => {
      for (const data of message.notificationData) {
        if (!data || !data.monitoredItems || !data.monitoredItems.length) continue;
        if (data.monitoredItems.every((item) => names.has(item.clientHandle))) forward(data);
        else early.push(data);
      }
    });
  }
  for (let first = 0; first < +count; first += AT_ONCE) {
    const items = [];
    for (let number = first; number < Math.min(+count, first + AT_ONCE); number++) {
      items.push({ nodeId: `ns=2;s=${nameOf(number)}`, attributeId: AttributeIds.Value });
    }
    const parameters = { samplingInterval: 0, queueSize: 1000, discardOldest: true };
    const group = ClientMonitoredItemGroup.create(subscription, items, parameters, TimestampsToReturn.Both);
    if (mode === "value") {
      group.on("changed", (item, data, index) => publish(told(nameOf(first + index), data)));
    }
    await new Promise((done) => group.on("initialized", done));
    group.monitoredItems.forEach((item, index) => {
      names.set(item.monitoringParameters.clientHandle, nameOf(first + index));
    });
    early.splice(0).forEach(forward);
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
