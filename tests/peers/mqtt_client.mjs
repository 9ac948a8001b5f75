// MQTT.js as a client of an emulated cloud.  Reads a list of cases as JSON from standard input, and prints for each
// what became of it: "acked", "acked CODE", "silent", "closed" or "refused CODE".
//
// A case: {url, options, publish: {topic, size, qos, retain}, quiet_ms}

import mqtt from "mqtt";

function outcomeOf({ url, options, publish, quiet_ms }) {
  return new Promise((resolve) => {
    const client = mqtt.connect(url, { ...options, reconnectPeriod: 0, connectTimeout: 5000 });
    let isOver = false;
    const end = (outcome) => {
      if (!isOver) {
        isOver = true;
        client.end(true, () => resolve(outcome));
      }
    };
    client.on("error", (error) => end(error.code === undefined ? `error ${error.message}` : `refused ${error.code}`));
    client.on("close", () => end("closed"));
    client.on("connect", () => {
      if (!publish) {
        end("connected");
        return;
      }
      setTimeout(() => end("silent"), quiet_ms);
      const { topic, size, qos, retain } = publish;
      client.publish(topic, Buffer.alloc(size, 32), { qos, retain }, (error, packet) => {
        if (error) {
          end(error.code === undefined ? "closed" : `acked ${error.code}`);
        } else {
          end(qos && packet && packet.reasonCode ? `acked ${packet.reasonCode}` : "acked");
        }
      });
    });
  });
}

let text = "";
for await (const chunk of process.stdin) {
  text += chunk;
}
const found = [];
for (const one of JSON.parse(text)) {
  found.push(await outcomeOf(one));
}
console.log(JSON.stringify(found));
process.exit(0);
