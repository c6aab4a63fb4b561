// A session is one connection to the stream and the player that plays it. Every connection gets a new player: the
// server ends a connection where an encoder begins anew, which no player survives.

import { Refused, openSocket, readStatus, statusInPage } from './address.js'
import { JSMpegPlayer } from './jsmpeg.js'
import { MSEPlayer, canPlay } from './mse.js'
import { Transport } from './transport.js'

const MAX_QUEUE = 32 << 20 // bytes that may wait for a player

export class Session {
  transport = new Transport()
  player = null
  status = null
  open = false // the websocket
  shown = false // a picture has been drawn
  arrived = 0 // when the socket opened, by Date.now()
  #events
  #finish
  #queue = []
  #queued = 0
  #asking = false
  #chosen = '' // the name of the player
  #over = false

  // events: status(status), picture(session) after each drawing, created(session), blocked(session).
  constructor(events) {
    this.#events = events
  }

  // run connects, plays, and returns how the connection ended: { code, reason }, { refused } or { unplayable }.
  async run() {
    const ended = new Promise(resolve => { this.#finish = resolve })
    const socket = openSocket()
    socket.onopen = () => {
      this.open = true
      this.arrived = Date.now()
    }
    socket.onmessage = event => { if (typeof event.data !== 'string') this.#take(event.data) }
    socket.onclose = event => this.end({ code: event.code, reason: event.reason })
    const status = statusInPage()
    if (status) this.#learn(status)
    else this.refresh()
    const end = await ended
    this.#over = true
    this.open = false
    this.#queue = []
    socket.onclose = socket.onmessage = null
    socket.close()
    return end
  }

  // end makes run return.
  end(how) {
    this.#finish(how)
  }

  // discard takes the last picture away too.
  discard() {
    this.player?.destroy()
    this.player = null
  }

  // refresh reads what the server says of the stream.
  async refresh() {
    try {
      this.#learn(await readStatus())
    } catch (err) {
      if (!(err instanceof Refused)) throw err
      this.end({ refused: err })
    }
  }

  #learn(status) {
    if (!status || this.#over) return
    this.status = status
    // The player loads while the first pictures are on their way.
    if (status.player && !this.#chosen) this.#choose()
    else if (status.player !== this.#chosen && !this.shown) this.end({ code: 0, reason: 'the stream has changed' })
    this.#events.status(status)
  }

  #take(message) {
    const lost = this.transport.lost
    this.transport.read(message)
    if (this.transport.lost > lost) this.player?.gap()
    if (this.transport.mpeg2) {
      this.end({ unplayable: 'The video is MPEG-2. Browsers play MPEG-1, H.264 and some HEVC.' })
    } else if (this.player) {
      this.player.feed(message)
    } else {
      this.#queue.push(message)
      this.#queued += message.byteLength
      if (this.#queued > MAX_QUEUE) this.end({ code: 0, reason: 'the server does not say what the stream is' })
      if (!this.status?.player) this.#ask()
    }
  }

  // #ask asks until the server knows what the stream is: it learns that from the first packets.
  async #ask() {
    if (this.#asking) return
    this.#asking = true
    for (let wait = 20; !this.#over && !this.status?.player; wait = Math.min(2 * wait, 1000)) {
      await new Promise(resolve => setTimeout(resolve, wait))
      if (!this.#over && !this.status?.player) await this.refresh()
    }
  }

  async #choose() {
    this.#chosen = this.status.player
    try {
      const player = await this.#makePlayer()
      if (this.#over || !player) {
        player?.destroy()
        return
      }
      this.player = player
      this.#events.created(this)
      for (const message of this.#queue) player.feed(message)
      this.#queue = []
    } catch (err) {
      this.end({ code: 0, reason: err.message })
    }
  }

  async #makePlayer() {
    const { player, reason, codecs } = this.status
    const events = {
      picture: () => {
        this.shown = true
        this.#events.picture(this)
      },
      error: text => this.end({ code: 0, reason: 'the player failed: ' + text }),
      blocked: () => this.#events.blocked(this),
    }
    if (player === 'jsmpeg') {
      await load('jsmpeg')
      return new JSMpegPlayer(events)
    }
    if (player === 'mpegts') {
      if (canPlay(codecs.video)) {
        await load('mpegts')
        return new MSEPlayer(events)
      }
      this.end({ unplayable: `This browser does not decode ${codecs.video === 'hevc' ? 'HEVC (H.265)' : 'H.264'}.` })
      return null
    }
    this.end({ unplayable: reason })
    return null
  }
}

const loaded = new Map()

// load fetches a player, once.
function load(name) {
  if (!loaded.has(name)) {
    loaded.set(name, new Promise((resolve, reject) => {
      const script = document.createElement('script')
      script.src = new URL(`players/${name}.js`, import.meta.url)
      script.onload = resolve
      script.onerror = () => {
        loaded.delete(name)
        reject(new Error(`the player ${name} could not be loaded`))
      }
      document.head.append(script)
    }))
  }
  return loaded.get(name)
}
