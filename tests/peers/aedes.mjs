// aedes as a broker for tests: MQTT 3.1.1 over TCP and web sockets, on ports that the caller names.
// Usage: node aedes.mjs TCP_PORT WS_PORT.  A topic below `refused/` is not authorized: aedes then cuts the connection.
import http from 'node:http'
import net from 'node:net'
import { Aedes } from 'aedes'
import { WebSocketServer, createWebSocketStream } from 'ws'

const [tcpPort, wsPort] = process.argv.slice(2).map(Number)
const broker = await Aedes.createBroker({
  authorizePublish: (client, packet, done) =>
    done(packet.topic.startsWith('refused/') ? new Error('not authorized') : null)
})
net.createServer(broker.handle).listen(tcpPort, '127.0.0.1')
const web = http.createServer()
new WebSocketServer({ server: web, path: '/mqtt' }).on('connection', (socket, request) =>
  broker.handle(createWebSocketStream(socket), request))
web.listen(wsPort, '127.0.0.1')
process.stdin.on('end', () => process.exit(0)).resume() // ends with whoever started it
