// What a push to a wss server takes in node.js: one POST in, each piece of its body a message. It is to vw-ingest and
// vw-push over TLS what jsmpeg's relay, which has no TLS, is without.
//
// usage: node post-to-wss.mjs PORT URL CA-FILE

import fs from 'node:fs'
import http from 'node:http'
import WebSocket from 'ws'

const [port, url, ca] = process.argv.slice(2)
const socket = new WebSocket(url, { ca: fs.readFileSync(ca), perMessageDeflate: false })
socket.on('open', () => {
  http.createServer((request, response) => {
    request.on('data', data => socket.send(data))
    request.on('end', () => response.writeHead(204).end())
  }).listen(Number(port), '127.0.0.1')
})
