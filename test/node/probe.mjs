// probe runs in the page, before any of its scripts: at each frame of the screen it reads the boxes in the picture
// that is shown, in a canvas or video element.
export function probe() {
  // The drawing of a WebGL canvas is gone when it has been shown, unless it asks to keep it. Stock pages do not ask.
  const original = HTMLCanvasElement.prototype.getContext
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    return original.call(this, kind, /webgl/.test(kind) ? { ...options, preserveDrawingBuffer: true } : options)
  }

  const BOX = 32
  const BITS = 16
  const canvas = document.createElement('canvas')
  canvas.width = BOX * BITS
  canvas.height = 2 * BOX
  const context = original.call(canvas, '2d', { willReadFrequently: true })
  const seen = { frame: -1, delay: -1, first: -1, firstDelay: -1, unreadable: 0, pictures: 0, worst: 0, at: 0 }

  // bits reads a row; null if a box is neither black nor white.
  function bits(pixels, row) {
    let value = 0
    for (let i = 0; i < BITS; i++) {
      const light = pixels[4 * ((row * BOX + BOX / 2) * canvas.width + i * BOX + BOX / 2) + 1]
      if (light > 80 && light < 176) return null
      if (light >= 176) value |= 1 << i
    }
    return value
  }

  function shown() {
    for (const element of document.querySelectorAll('canvas, video')) {
      const visible = element.getClientRects().length > 0 && getComputedStyle(element).opacity !== '0'
      if (visible && (element.videoWidth ?? element.width) >= canvas.width) return element
    }
    return null
  }

  function read() {
    requestAnimationFrame(read)
    const element = shown()
    if (!element) return
    context.drawImage(element, 0, 0)
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data
    const frame = bits(pixels, 0)
    const clock = bits(pixels, 1)
    if (frame === null || clock === null) {
      seen.unreadable++
      return
    }
    if (clock === 0 || frame === seen.frame) return // 0: nothing has been drawn yet
    const now = Date.now()
    seen.frame = frame
    seen.delay = ((now - clock) % 65536 + 65536) % 65536
    seen.at = now
    seen.pictures++
    seen.worst = Math.max(seen.worst, seen.delay)
    if (seen.first < 0) {
      seen.first = Math.round(performance.now())
      seen.firstDelay = seen.delay
    }
  }

  window.vwSeen = () => {
    const text = id => document.getElementById(id)?.textContent ?? ''
    const element = shown()
    const result = {
      ...seen, now: Date.now(), hidden: document.hidden, title: document.title, address: location.href,
      state: text('state'), detail: text('notice-detail'),
      notice: document.getElementById('notice')?.hidden ?? true ? '' : text('notice-title'),
      buffered: text('fact-buffered'), lost: text('fact-lost'), connections: text('fact-connections'),
      player: element?.localName ?? '', width: element?.videoWidth ?? element?.width ?? 0,
    }
    seen.worst = 0
    return result
  }
  requestAnimationFrame(read)
}
