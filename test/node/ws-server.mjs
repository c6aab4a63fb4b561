// A websocket server that shares no code with vw: what arrives here arrived by RFC 6455, not by an agreement of
// vw's tools with each other. It keeps the binary messages of each connection, in order, and tells what it saw as JSON
// lines.

import fs from 'node:fs'
import { parseArgs } from 'node:util'
import { WebSocketServer } from 'ws'

const usage = 'usage: node ws-server.mjs [--conns N] FILE\n' +
  'writes the first connection to FILE, the next to FILE.2, and so on; ends after N connections have closed'

function options() {
  try {
    const { values, positionals } = parseArgs({
      options: { conns: { type: 'string', default: '0' } },
      allowPositionals: true,
    })
    const conns = Number(values.conns)
    if (positionals.length !== 1 || !Number.isInteger(conns) || conns < 0) throw new Error('wrong arguments')
    return { file: positionals[0], conns }
  } catch (err) {
    process.stderr.write(`ws-server: error: ${err.message}\n${usage}\n`)
    process.exit(2)
  }
}

const { file, conns } = options()
let opened = 0
let closed = 0

// Nobody reads any more: the test that started this has ended.
process.stdout.on('error', () => process.exit(1))

function tell(event) {
  process.stdout.write(JSON.stringify(event) + '\n')
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('listening', () => tell({ event: 'listening', port: server.address().port }))
server.on('error', err => {
  process.stderr.write(`ws-server: error: ${err.message}\n`)
  process.exit(1)
})

server.on('connection', (socket, request) => {
  const id = ++opened
  const name = id === 1 ? file : `${file}.${id}`
  // Written synchronously: a test may look at the file as soon as it has read "closed".
  const fd = fs.openSync(name, 'w')
  const seen = { messages: 0, text: 0, bytes: 0, smallest: 0, largest: 0 }

  tell({ event: 'connected', id, path: request.url, file: name })
  socket.on('message', (data, isBinary) => {
    if (!isBinary) {
      seen.text++
      return
    }
    seen.smallest = seen.messages === 0 ? data.length : Math.min(seen.smallest, data.length)
    seen.largest = Math.max(seen.largest, data.length)
    seen.messages++
    seen.bytes += data.length
    for (let at = 0; at < data.length;) at += fs.writeSync(fd, data, at)
  })
  socket.on('error', err => tell({ event: 'error', id, message: err.message }))
  socket.on('close', (code, reason) => {
    fs.closeSync(fd)
    closed++
    tell({ event: 'closed', id, ...seen, code, reason: reason.toString() })
    if (conns > 0 && closed === conns) stop()
  })
})

// stop takes no more connections and lets those that are open finish their close handshake, for two seconds.
let stopping = false
function stop() {
  if (stopping) return
  stopping = true
  for (const client of server.clients) client.close(1001, 'server ends')
  const timer = setTimeout(() => {
    for (const client of server.clients) client.terminate()
  }, 2000)
  server.close(() => {
    clearTimeout(timer)
    process.exitCode = closed < conns ? 1 : 0
  })
}
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
