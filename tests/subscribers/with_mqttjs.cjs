// Node.js: NODE_PATH=FOLDER/node_modules node with_mqttjs.cjs PORT
const mqtt = require("mqtt");

const client = mqtt.connect(`mqtt://127.0.0.1:${process.argv[2]}`, {
  protocolVersion: 5,
  clientId: "node",
  clean: false,
  properties: { sessionExpiryInterval: 3600 },
  reconnectPeriod: 300,
});
client.on("connect", () => client.subscribe("edgerun/+/+/alerts", { qos: 1 }));
client.on("message", (topic, payload) => console.log(JSON.stringify(JSON.parse(payload))));
client.on("error", () => {}); // it comes back by itself
