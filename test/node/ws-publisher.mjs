// A websocket publisher that shares no code with vw: sends a file as binary messages, then closes with 1000, and tells
// how that went as one JSON line. Exit status 0: all was sent, and the server answered the close with 1000.
//
// A private CA for wss:// is given to node itself, as NODE_EXTRA_CA_CERTS=FILE.

import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'

const usage = "usage: node ws-publisher.mjs [--size BYTES] [--pause MS] [--header 'NAME: VALUE']… URL FILE\n" +
  'sends FILE in messages of BYTES (1316), MS milliseconds apart (0)'

function options() {
  try {
    const { values, positionals } = parseArgs({
      options: {
        size: { type: 'string', default: '1316' },
        pause: { type: 'string', default: '0' },
        header: { type: 'string', multiple: true, default: [] },
      },
      allowPositionals: true,
    })
    const size = Number(values.size)
    const pause = Number(values.pause)
    if (positionals.length !== 2) throw new Error('URL and FILE are needed')
    if (!Number.isInteger(size) || size < 1) throw new Error(`--size ${values.size} is no size`)
    if (!(pause >= 0)) throw new Error(`--pause ${values.pause} is no number of milliseconds`)
    const headers = {}
    for (const header of values.header) {
      const colon = header.indexOf(':')
      if (colon < 1) throw new Error(`--header ${header} has no colon`)
      headers[header.slice(0, colon).trim()] = header.slice(colon + 1).trim()
    }
    return { url: positionals[0], file: positionals[1], size, pause, headers }
  } catch (err) {
    process.stderr.write(`ws-publisher: error: ${err.message}\n${usage}\n`)
    process.exit(2)
  }
}

const { url, file, size, pause, headers } = options()
const sent = { messages: 0, bytes: 0 }
let whole = false
let stopped = false

process.stdout.on('error', () => process.exit(1))

function tell(event) {
  process.stdout.write(JSON.stringify(event) + '\n')
}

function send(socket, data) {
  return new Promise((resolve, reject) => socket.send(data, err => err ? reject(err) : resolve()))
}

async function publish(socket) {
  const fd = fs.openSync(file)
  try {
    // A message of its own for each: ws keeps the memory until the socket has taken it.
    for (;;) {
      const data = Buffer.alloc(size)
      const n = fs.readSync(fd, data)
      if (n === 0) break
      if (stopped || socket.readyState !== WebSocket.OPEN) return
      await send(socket, data.subarray(0, n))
      sent.messages++
      sent.bytes += n
      if (pause > 0) await delay(pause)
    }
    whole = true
    socket.close(1000)
  } finally {
    fs.closeSync(fd)
  }
}

const socket = new WebSocket(url, { headers, perMessageDeflate: false })
socket.on('open', () => publish(socket).catch(err => {
  tell({ event: 'error', message: err.message })
  socket.terminate()
}))
socket.on('message', () => {}) // what the server sends does not matter here
socket.on('unexpected-response', (request, response) => {
  tell({ event: 'refused', status: response.statusCode, headers: response.headers })
  process.exitCode = 1
  request.destroy()
})
socket.on('error', err => {
  tell({ event: 'error', message: err.message })
  process.exitCode = 1
})
socket.on('close', (code, reason) => {
  tell({ event: 'closed', ...sent, code, reason: reason.toString() })
  if (!whole || code !== 1000) process.exitCode = 1
})

function stop() {
  stopped = true
  socket.close(1001, 'publisher ends')
}
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
