// A websocket viewer that shares no code with vw: writes the binary messages of a server to a file, and tells how the
// connection ended as one JSON line.

import fs from 'node:fs'
import { WebSocket } from 'ws'

const [url, file] = process.argv.slice(2)
if (!file) {
  console.error('usage: node ws-viewer.mjs URL FILE')
  process.exit(2)
}
const out = fs.createWriteStream(file)
const socket = new WebSocket(url)
socket.on('message', (data, isBinary) => { if (isBinary) out.write(data) })
socket.on('error', err => console.error(`ws-viewer.mjs: error: ${err.message}`))
socket.on('close', (code, reason) => {
  out.end(() => console.log(JSON.stringify({ event: 'closed', code, reason: reason.toString() })))
})
