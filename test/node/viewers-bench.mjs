// Measures how soon and how late a browser sees the picture: the page of vw-push --listen, and the same page and
// players on jsmpeg's relay, in turns. Prints a Markdown table.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { Browser } from './browser.mjs'
import { probe } from './probe.mjs'

const [bin, relayScript, runs = '10', minutes = '0'] = process.argv.slice(2)
if (!relayScript) {
  process.stderr.write('usage: node viewers-bench.mjs BIN RELAY [RUNS [MINUTES]]\n')
  process.exit(2)
}
const files = new URL('../../lib/viewer/page/static/', import.meta.url)
const log = text => process.stderr.write(text + '\n')
const median = numbers => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]

// encoder sends the readable picture of test/page_helpers_test.go to a URL.
function encoder({ codec, size = '640x360', gop }, to) {
  const boxes = "[1:v]format=gray,geq=lum='255*mod(floor(if(Y,time(0)*1000,N)/pow(2,X)),2)'," +
    'scale=512:64:flags=neighbor[b];[0:v][b]overlay=0:0,format=yuv420p[v]'
  const mpeg1 = ['mpeg1video', '-bf', '0']
  const video = codec === 'mpeg1' ? mpeg1 : ['libx264', '-preset', 'ultrafast', '-tune', 'zerolatency']
  return spawn('ffmpeg', ['-nostdin', '-v', 'error', '-re', '-f', 'lavfi', '-i', `testsrc2=rate=25:size=${size}`,
    '-f', 'lavfi', '-i', 'color=black:size=16x2:rate=25', '-filter_complex', boxes, '-map', '[v]', '-c:v', ...video,
    '-b:v', '1300k', '-g', String(gop), '-f', 'mpegts', '-muxdelay', '0.001', to],
  { stdio: ['ignore', 'ignore', 'inherit'] })
}

function ended(process) {
  return process.exitCode ?? process.signalCode ?? new Promise(resolve => process.once('exit', resolve))
}

// found waits for a line of a program's log.
function found(process, pattern) {
  return new Promise((resolve, reject) => {
    let text = ''
    process.stderr.on('data', data => {
      text += data
      const match = pattern.exec(text)
      if (match) resolve(match[1])
    })
    process.once('exit', () => reject(new Error('ended: ' + text)))
  })
}

// vw is vw-ingest | vw-push --live --listen.
async function vw() {
  const line = '"$0/vw-ingest" --live --listen 127.0.0.1:0 | "$0/vw-push" --live --listen 127.0.0.1:0'
  const shell = spawn('bash', ['-c', line, bin], { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  const [to, page] = await Promise.all([
    found(shell, /msg=listening .*url=(\S+)/), found(shell, /listening for viewers.* url=(\S+)/),
  ])
  return { to, page, set() {}, close: () => { process.kill(-shell.pid); return ended(shell) } }
}

// freePort is one that nothing listens on now.
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

// relay is jsmpeg's, with vw's page in front of it: what the relay cannot say of the stream is set.
async function relay() {
  const [input, output] = [await freePort(), await freePort()]
  const child = spawn('node', [relayScript, 'secret', String(input), String(output)], { stdio: 'ignore' })
  for (const port of [input, output]) await listens(port)
  let codec = ''
  const types = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' }
  const server = http.createServer((request, response) => {
    const path = new URL(request.url, 'http://page').pathname
    if (path === '/stream.json') {
      const [player, video] = codec === 'mpeg1' ? ['jsmpeg', 'mpeg1video'] : ['mpegts', 'h264']
      response.end(JSON.stringify({ live: true, silent_ms: 0, player, reason: '', codecs: { video, audio: 'none' },
        fps: 0, gop_seconds: 0, bit_rate: 0, width: 0, height: 0, since: null, viewers: 1, dropped_bytes: 0 }))
      return
    }
    const file = path === '/' ? 'index.html' : path.slice(1)
    const packed = file.includes('players/')
    const bytes = readFileSync(new URL(packed ? file + '.gz' : file, files))
    response.setHeader('Content-Type', types[file.split('.').pop()])
    response.end(packed ? gunzipSync(bytes) : bytes)
  })
  server.on('upgrade', (request, socket) => {
    const far = net.connect(output, '127.0.0.1')
    const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    far.write(`GET / HTTP/1.1\r\n${headers}\r\n`)
    for (const [a, b] of [[far, socket], [socket, far]]) {
      a.setNoDelay(true)
      a.pipe(b)
      a.on('error', () => b.destroy())
      a.on('close', () => b.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  return {
    to: `http://127.0.0.1:${input}/secret`,
    page: `http://127.0.0.1:${server.address().port}/`,
    set: value => { codec = value },
    close: () => { server.close(); server.closeAllConnections(); child.kill(); return ended(child) },
  }
}

async function listens(port) {
  for (;;) {
    const up = await new Promise(resolve => {
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true) })
      socket.on('error', () => resolve(false))
    })
    if (up) return
    await delay(50)
  }
}

// link is a TCP proxy in front of the page, to cut or starve.
async function link(url) {
  const port = Number(new URL(url).port)
  const sockets = new Set()
  let starved = false
  const server = net.createServer(near => {
    const far = net.connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on('close', () => { sockets.delete(socket); near.destroy(); far.destroy() })
      socket.on('error', () => {})
    }
    near.pipe(far)
    far.on('data', data => {
      near.write(data)
      if (starved) {
        far.pause()
        setTimeout(() => far.resume(), data.length / 40) // ms: 40 kB a second, a quarter of the stream
      }
    })
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  return { page: `http://127.0.0.1:${server.address().port}/`, starve: value => { starved = value },
    cut: () => { for (const socket of sockets) socket.destroy() },
    close: () => { server.close(); for (const socket of sockets) socket.destroy() } }
}

async function newTab(browser) {
  const tab = await browser.tab(text => log('  console: ' + text))
  await tab.send('Page.addScriptToEvaluateOnNewDocument', { source: `(${probe})()` })
  await browser.front(tab)
  return tab
}

const seen = tab => tab.evaluate('window.vwSeen?.() ?? null')

// first opens the page and returns what is seen when the first picture is; null after 15 s without.
async function first(tab, page) {
  await tab.send('Page.navigate', { url: page })
  for (const limit = Date.now() + 15_000; Date.now() < limit;) {
    const sight = await seen(tab).catch(() => null)
    if (sight?.first >= 0) return sight
    await delay(50)
  }
  return null
}

// lateness is the median delay over a second and a half, in ms; null if no new picture comes.
async function lateness(tab) {
  const delays = []
  let last = -1
  for (const limit = Date.now() + 1500; Date.now() < limit;) {
    const { frame, delay: late } = await seen(tab)
    if (frame !== last && last >= 0) delays.push(late)
    last = frame
    await delay(30)
  }
  return delays.length < 5 ? null : median(delays)
}

// moves waits until there is a new picture, for 20 s at most.
async function moves(tab) {
  const before = (await seen(tab))?.frame
  for (const limit = Date.now() + 20_000; Date.now() < limit;) {
    if ((await seen(tab).catch(() => null))?.frame !== before) return
    await delay(50)
  }
}

// joins opens the page again and again, at any place in a group of pictures.
async function joins(browser, page, gop) {
  const firsts = [], lates = []
  for (let i = 0; i < Number(runs); i++) {
    const tab = await newTab(browser)
    await delay(500 + Math.random() * gop * 40)
    const sight = await first(tab, page)
    firsts.push(sight?.first ?? Infinity)
    if (sight) {
      await delay(5000)
      lates.push(await lateness(tab) ?? Infinity)
    }
    await browser.send('Target.closeTarget', { targetId: tab.targetId })
  }
  return { first: median(firsts), late: lates.length > 0 ? median(lates) : Infinity }
}

// trials are what may happen to a stream. Each is followed by 5 s, and then the delay is measured.
async function trials(browser, source, c) {
  const through = await link(source.page)
  let camera = encoder(c, source.to)
  await delay(4000)
  const other = await browser.tab(() => {})
  const tab = await newTab(browser)
  const restart = async next => {
    camera.kill('SIGKILL')
    await ended(camera)
    source.set(next.codec)
    camera = encoder(next, source.to)
  }
  const steps = {
    'hidden for 6 s': async () => { await browser.front(other); await delay(6000); await browser.front(tab) },
    'lost connection': async () => through.cut(),
    'starved for 10 s': async () => { through.starve(true); await delay(10_000); through.starve(false) },
    'encoder restarted': () => restart(c),
    'another size': () => restart({ ...c, size: '768x432' }),
    'another codec': () => restart({ ...c, codec: c.codec === 'mpeg1' ? 'h264' : 'mpeg1' }),
  }
  if (Number(minutes) > 0) {
    steps[`${minutes} minutes`] = () => delay(Number(minutes) * 60_000)
  }
  const result = {}
  for (const [name, step] of Object.entries(steps)) {
    if (name === 'another codec' || name === 'hidden for 6 s' || name.endsWith('minutes')) {
      // From a page that plays, whatever the step before came to.
      if (name.endsWith('minutes')) await restart(c)
      await first(tab, through.page)
    }
    await step()
    await moves(tab)
    await delay(5000)
    result[name] = await lateness(tab).catch(() => null)
    log(`  ${name}: ${result[name]}`)
  }
  camera.kill('SIGKILL')
  await ended(camera)
  through.close()
  for (const { targetId } of [tab, other]) await browser.send('Target.closeTarget', { targetId })
  return result
}

const browser = await Browser.start()
const rows = []
try {
  for (const c of [{ codec: 'mpeg1', gop: 125 }, { codec: 'h264', gop: 25 }, { codec: 'h264', gop: 125 }]) {
    for (const [name, make] of [['vw-push', vw], ["jsmpeg's relay", relay]]) {
      log(`${c.codec}, ${c.gop} pictures a group, ${name}`)
      const source = await make()
      source.set(c.codec)
      const camera = encoder(c, source.to)
      await delay(4000)
      const joined = await joins(browser, source.page, c.gop)
      camera.kill('SIGKILL')
      await ended(camera)
      log(`  first ${joined.first}, then ${joined.late}`)
      const after = c.codec === 'h264' && c.gop === 125 ? {} : await trials(browser, source, c)
      await source.close()
      rows.push({ name, ...c, ...joined, after })
    }
  }
} finally {
  await browser.close()
}

function figure(value) {
  if (value === undefined) return ''
  return value === null || !Number.isFinite(value) ? 'none' : String(Math.round(value))
}

const events = Object.keys(rows[0].after)
console.log(`| stream | server | first picture | 5 s later | ${events.join(' | ')} |`)
console.log(`| --- | --- |${' --- |'.repeat(2 + events.length)}`)
for (const row of rows) {
  const stream = `${row.codec === 'mpeg1' ? 'MPEG-1' : 'H.264'}, groups of ${row.gop / 25} s`
  const figures = [row.first, row.late, ...events.map(name => row.after[name])].map(figure)
  console.log(`| ${stream} | ${row.name} | ${figures.join(' | ')} |`)
}
