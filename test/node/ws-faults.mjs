// A websocket client that shares no code with vw, and tells what a server does to it: for each URL it connects, sends
// three binary messages of 1000 bytes and a ping, looks on for a while, and prints what it saw as one JSON line. The
// URLs are tried all at once.

import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

const usage = 'usage: node ws-faults.mjs MS URL…\n' +
  'looks on for MS milliseconds; sends 8 MiB to a URL that ends with /slow, 2 MiB to …/over, and a\n' +
  'text to …/say'

const [ms, ...urls] = process.argv.slice(2)
if (!(Number(ms) > 0) || urls.length === 0) {
  process.stderr.write(`${usage}\n`)
  process.exit(2)
}

async function look(url) {
  const saw = { url, opened: false, status: 0, headers: {}, error: '', socketError: '', code: 0, reason: '', state: '',
    messages: 0, text: 0, pings: 0, pong: 0, unsent: 0, receivedCode: 0 }
  const begun = performance.now()
  const socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: Number(ms) / 2 })
  socket.on('upgrade', response => response.socket.on('error', err => { saw.socketError = err.code }))
  socket.on('open', () => {
    saw.opened = true
    for (let i = 0; i < 3; i++) socket.send(Buffer.alloc(1000, i), () => {})
    if (url.endsWith('/say')) socket.send('a text', () => {})
    if (url.endsWith('/slow')) socket.send(Buffer.alloc(8 << 20), () => {})
    if (url.endsWith('/over')) socket.send(Buffer.alloc(2 << 20), () => {})
    socket.ping('hello', true, () => {})
  })
  socket.on('message', (data, isBinary) => { if (isBinary) saw.messages++; else saw.text++ })
  socket.on('ping', () => { saw.pings++ })
  socket.on('pong', () => { saw.pong = performance.now() - begun })
  socket.on('unexpected-response', (request, response) => {
    saw.status = response.statusCode
    saw.headers = response.headers
    request.destroy()
  })
  socket.on('error', err => { saw.error = err.message })
  socket.on('close', (code, reason) => {
    saw.code = code
    saw.reason = reason.toString()
  })
  await delay(Number(ms))
  saw.state = ['connecting', 'open', 'closing', 'closed'][socket.readyState]
  saw.unsent = socket.bufferedAmount
  saw.receivedCode = socket._closeFrameReceived ? socket._closeCode : 0
  socket.terminate()
  return { ...saw }
}

for (const saw of await Promise.all(urls.map(look))) process.stdout.write(JSON.stringify(saw) + '\n')
