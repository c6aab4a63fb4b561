// Plays MPEG-1 video and MP2 sound with the parts of jsmpeg. jsmpeg's own loop decodes one picture for each frame of
// the screen, so the pictures that a new viewer gets from memory would run past as a fast forward. Here all that has
// come is decoded, and the last picture drawn. All decoders work in a WebAssembly memory of their own: one that
// broke, or was made for another size, leaves nothing behind.

const SLICE = 188 * 4096 // bytes, after which it is time to decode: less than the decoder's buffer holds
const VIDEO_BUFFER = 4 << 20
const MOST_AT_FIRST = VIDEO_BUFFER / 2 // the same, before the first picture
const MAX_SOUND_AHEAD = 0.25 // seconds

export class JSMpegPlayer {
  drawn = 0 // pictures decoded
  element = document.createElement('canvas')
  #events
  #queue = [] // messages that came before the decoder was ready
  #waiting = 0 // pictures in the decoder's buffer
  #pending = 0 // bytes since the last decoding
  #planes = null // of the newest picture
  #frame = 0 // the request for a frame of the screen, and when it was made
  #asked = 0
  #muted = true

  // events: picture() after each drawing, error(text) once.
  constructor(events) {
    this.#events = events
    this.element.setAttribute('role', 'img')
    this.module = new JSMpeg.WASMModule()
    this.options = { streaming: true, wasmModule: this.module, videoBufferSize: VIDEO_BUFFER, decodeFirstFrame: false,
      canvas: this.element, preserveDrawingBuffer: true }
    this.module.loadFromBuffer(JSMpeg.Base64ToArrayBuffer(JSMpeg.WASM_BINARY_INLINED), () => this.#ready())
    this.renderer = FrameRenderer.works() ? new FrameRenderer(this.element) : jsmpegRenderer(this.options)
  }

  #ready() {
    if (!this.#queue) return
    this.video = new JSMpeg.Decoder.MPEG1VideoWASM(this.options)
    this.video.connect({
      resize: (width, height) => this.renderer.resize(width, height),
      render: (...planes) => { this.#planes = planes },
    })
    this.demuxer = new JSMpeg.Demuxer.TS(this.options)
    const counted = { write: (time, buffers) => { this.video.write(time, buffers); this.#waiting++ } }
    for (let id = 0xe0; id <= 0xef; id++) this.demuxer.connect(id, counted)
    this.setMuted(this.#muted)
    const queue = this.#queue
    this.#queue = []
    for (const message of queue) this.feed(message)
  }

  feed(message) {
    if (!this.demuxer) {
      this.#queue?.push(message)
      return
    }
    try {
      for (let at = 0; at < message.byteLength; at += SLICE) {
        this.demuxer.write(new Uint8Array(message, at, Math.min(SLICE, message.byteLength - at)))
        this.#pending += Math.min(SLICE, message.byteLength - at)
        if (this.#pending >= (this.drawn > 0 ? SLICE : MOST_AT_FIRST)) this.#decode()
      }
      if (this.drawn === 0) {
        this.#draw()
      } else if (!this.#frame) {
        this.#asked = performance.now()
        this.#frame = requestAnimationFrame(() => this.#draw())
      }
      // A page that is hidden or scrolled out of sight gets no frames of the screen: nothing must pile up.
      if (document.hidden || performance.now() - this.#asked > 250) this.#decode()
    } catch (err) {
      this.#events.error(String(err))
    }
  }

  #decode() {
    while (this.video.decode()) this.drawn++
    this.#waiting = this.#pending = 0
    if (!this.audio) return
    for (;;) {
      if (this.sound.enqueuedTime > MAX_SOUND_AHEAD) {
        this.sound.resetEnqueuedTime()
        this.sound.enabled = false
      }
      if (!this.audio.decode()) break
    }
    this.sound.enabled = true
  }

  #draw() {
    this.#frame = 0
    try {
      if (this.drawn > 0) {
        this.#decode()
      } else if (this.video.decode()) {
        // The keyframe is shown before what follows it is decoded, which takes a while.
        this.drawn++
        this.#asked = performance.now()
        this.#frame = requestAnimationFrame(() => this.#draw())
      }
      if (!this.#planes) return
      this.renderer.render(...this.#planes)
      this.#events.picture()
    } catch (err) {
      this.#events.error(String(err))
    }
  }

  // gap says that the server left something out. What comes is shown at once in any case.
  gap() {}

  // setMuted: sound is decoded only while somebody listens. A browser lets it begin after a touch or key alone.
  setMuted(muted) {
    this.#muted = muted
    if (!this.demuxer) return
    if (!muted && !this.audio) {
      this.sound = new JSMpeg.AudioOutput.WebAudio(this.options)
      this.audio = new JSMpeg.Decoder.MP2AudioWASM(this.options)
      this.audio.connect(this.sound)
      for (let id = 0xc0; id <= 0xdf; id++) this.demuxer.connect(id, this.audio)
      this.sound.unlock()
      this.sound.context.resume()
    }
    if (this.sound) this.sound.volume = muted ? 0 : 1
    if (this.sound && muted) this.sound.stop()
  }

  // progress changes while the player shows something.
  progress() { return this.drawn }

  // buffered is how many seconds of the stream wait to be played.
  buffered() {
    const pictures = this.video?.frameRate ? this.#waiting / this.video.frameRate : 0
    return Math.max(pictures, this.sound?.enqueuedTime ?? 0)
  }

  destroy() {
    cancelAnimationFrame(this.#frame)
    this.#queue = null
    this.demuxer = null
    this.sound?.destroy()
    const gl = this.renderer?.gl
    this.renderer?.destroy()
    gl?.getExtension('WEBGL_lose_context')?.loseContext() // a browser allows few at a time
    this.element.remove()
  }
}

// FrameRenderer has the browser turn a picture into colours. Unlike WebGL it needs no context of the graphics card and
// no shaders, which take a tenth of a second.
class FrameRenderer {
  #context
  #width = 0
  #height = 0

  // works is whether the browser makes a frame of planes.
  static works() {
    try {
      const memory = new Uint8Array(16 * 16 * 3 / 2)
      videoFrame(16, 16, memory, memory.subarray(256), memory.subarray(320)).close()
      return true
    } catch {
      return false
    }
  }

  constructor(canvas) {
    this.#context = canvas.getContext('2d', { alpha: false })
  }

  resize(width, height) {
    Object.assign(this.#context.canvas, { width, height })
    this.#width = width
    this.#height = height
  }

  render(y, cr, cb) {
    const frame = videoFrame(this.#width, this.#height, y, cb, cr)
    this.#context.drawImage(frame, 0, 0)
    frame.close()
  }

  destroy() {}
}

// videoFrame returns a frame with the planes as the decoder holds them: whole macroblocks, in one memory.
function videoFrame(width, height, y, cb, cr) {
  const codedWidth = (width + 15) & ~15
  return new VideoFrame(y.buffer, {
    format: 'I420',
    timestamp: 0,
    codedWidth,
    codedHeight: (height + 15) & ~15,
    visibleRect: { x: 0, y: 0, width, height },
    layout: [
      { offset: y.byteOffset, stride: codedWidth },
      { offset: cb.byteOffset, stride: codedWidth / 2 },
      { offset: cr.byteOffset, stride: codedWidth / 2 },
    ],
    colorSpace: { matrix: 'smpte170m', primaries: 'bt709', transfer: 'iec61966-2-1', fullRange: false },
  })
}

function jsmpegRenderer(options) {
  const { WebGL, Canvas2D } = JSMpeg.Renderer
  try {
    return new WebGL(options)
  } catch {
    return new Canvas2D(options)
  }
}
