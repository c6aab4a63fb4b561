// Plays H.264, HEVC, AAC and MP2 with mpegts.js and the browser's own decoder. The page has the socket, so mpegts.js
// gets the stream from a loader that hands on what the page was sent.

const JUMP = 1 // seconds: what is later than that is jumped over
const SLACK = 0.08 // seconds beyond the target, from which on it plays faster
const FASTER = 1.25
const LEAST = 0.1 // seconds: the target at first, which the network or the machine may prove too low
const MOST = 0.5
const AT_FIRST = 3 // messages: with the second picture mpegts.js hands on the first one
const FIRST_WITHIN = 200 // ms

export class MSEPlayer {
  drawn = 0 // pictures shown
  element = document.createElement('video')
  #events
  #loader = null
  #queue = [] // messages that came before mpegts.js asked for any; null when the first picture has been shown
  #handed = 0 // messages
  #asked = 0 // when mpegts.js asked for the first one
  #sent = 0
  #started = false
  #target = LEAST // seconds of stream that wait to be shown
  #stalled = 0 // when they last ran out
  #timer = 0

  constructor(events) {
    this.#events = events
    const video = this.element
    Object.assign(video, { muted: true, autoplay: true, playsInline: true, disableRemotePlayback: true })
    video.addEventListener('waiting', () => {
      if (!this.#started || video.seeking) return
      this.#target = Math.min(MOST, this.#target + 0.05)
      this.#stalled = performance.now()
    })
    video.setAttribute('muted', '') // some browsers look at the attribute alone before they let a video start
    const self = this
    class Loader extends mpegts.BaseLoader {
      constructor() { super('page') }
      get needStashBuffer() { return false }
      open() {
        this._status = mpegts.LoaderStatus.kBuffering
        self.#open(this)
      }
      abort() { this._status = mpegts.LoaderStatus.kComplete }
    }
    Object.assign(mpegts.LoggingControl, { enableAll: false })
    this.player = mpegts.createPlayer({ type: 'mpegts', isLive: true, url: 'ws://page' }, {
      customLoader: Loader, isLive: true, enableStashBuffer: false, lazyLoad: false, autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: 30, autoCleanupMinBackwardDuration: 10,
    })
    this.player.on(mpegts.Events.ERROR, (type, detail, info) => events.error(`${detail} ${info?.msg ?? ''}`.trim()))
    this.player.attachMediaElement(video)
    this.player.load()
    this.#timer = setInterval(() => this.#catchUp(), 50)
    video.addEventListener('loadeddata', () => this.#feedRest())
    this.#watchPictures()
    this.#play()
  }

  // #open begins with the keyframe. What else came from memory takes a while to take apart and decode: up to five
  // seconds of pictures.
  #open(loader) {
    this.#loader = loader
    this.#asked = performance.now()
    for (const message of this.#queue.splice(0)) this.feed(message)
  }

  // #feedRest hands on the rest at once: mpegts.js fills the browser's buffer once for each message.
  #feedRest() {
    if (!this.#queue) return
    const rest = new Uint8Array(this.#queue.reduce((sum, message) => sum + message.byteLength, 0))
    let at = 0
    for (const message of this.#queue) {
      rest.set(new Uint8Array(message), at)
      at += message.byteLength
    }
    this.#queue = null
    if (at > 0) this.#hand(rest.buffer)
  }

  feed(message) {
    if (this.#loader && (!this.#queue || this.#handed < AT_FIRST)) this.#hand(message)
    else this.#queue?.push(message)
  }

  #hand(message) {
    this.#handed++
    const from = this.#sent
    this.#sent += message.byteLength
    try {
      this.#loader?.onDataArrival?.(message, from, this.#sent)
    } catch (err) {
      this.#events.error(String(err))
    }
  }

  // gap says that the server left something out: what ran dry before was the link, which more waiting does not help.
  gap() {
    this.#target = LEAST
    this.#stalled = performance.now()
  }

  #play() {
    this.element.play().catch(err => {
      if (err.name === 'NotAllowedError') this.#events.blocked()
    })
  }

  // play starts what the browser did not start by itself. It must be called from a touch or key.
  play() { this.#play() }

  #watchPictures() {
    const video = this.element
    const seen = () => {
      if (!this.#timer) return // destroyed
      this.drawn++
      this.#events.picture()
    }
    if (!video.requestVideoFrameCallback) {
      video.addEventListener('timeupdate', seen)
      return
    }
    const next = () => {
      seen()
      video.requestVideoFrameCallback(next)
    }
    video.requestVideoFrameCallback(next)
  }

  // #catchUp keeps the picture near the newest one. What lies far back, as the pictures from memory at the start or
  // those after a tab was hidden, is jumped over; a little is caught up by playing a bit faster. Where pictures come
  // unevenly, more of them wait.
  #catchUp() {
    const video = this.element
    if (this.#asked && performance.now() - this.#asked > FIRST_WITHIN) this.#feedRest()
    if (this.#queue) return // the first picture is meant to be the only one for now
    const ranges = video.buffered
    if (ranges.length === 0 || video.seeking) return
    if (performance.now() - this.#stalled > 20_000 && this.#target > LEAST) {
      this.#target = Math.max(LEAST, this.#target - 0.05)
      this.#stalled = performance.now()
    }
    const start = ranges.start(ranges.length - 1)
    const end = ranges.end(ranges.length - 1)
    const late = end - video.currentTime
    if (video.currentTime < start || late > (this.#started ? JUMP + this.#target : this.#target + SLACK)) {
      video.currentTime = Math.max(start, end - this.#target)
      video.playbackRate = 1
    } else if (late > this.#target + SLACK) {
      video.playbackRate = FASTER
    } else if (late < this.#target) {
      video.playbackRate = 1
    }
    this.#started = true
    if (video.paused && !document.hidden) this.#play()
  }

  setMuted(muted) { this.element.muted = muted }

  progress() { return this.element.currentTime }

  buffered() {
    const ranges = this.element.buffered
    return ranges.length === 0 ? 0 : Math.max(0, ranges.end(ranges.length - 1) - this.element.currentTime)
  }

  destroy() {
    clearInterval(this.#timer)
    this.#timer = 0
    this.#loader = null
    this.player.destroy()
    this.element.remove()
  }
}

// canPlay is whether this browser decodes the video that the server names.
export function canPlay(codec) {
  const source = globalThis.ManagedMediaSource ?? globalThis.MediaSource
  const type = codec === 'hevc' ? 'video/mp4; codecs="hvc1.1.6.L93.B0"' : 'video/mp4; codecs="avc1.42E01E"'
  return Boolean(source?.isTypeSupported(type))
}
