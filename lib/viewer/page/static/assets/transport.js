// Reads along in the MPEG transport stream (ISO/IEC 13818-1), without a copy: counts pictures, and those that the
// server left out. The server announces a gap with discontinuity_indicator; how many pictures are missing is in the
// timestamps.

const PACKET = 188
const WRAP = 2 ** 33 // timestamps have 33 bits of 90 kHz

export class Transport {
  pictures = 0 // access units of the video that began
  lost = 0 // pictures in announced gaps
  lastPicture = 0 // when the newest one arrived, by Date.now()
  interval = 0 // shortest time between two pictures, in 90 kHz
  mpeg2 = false // the video is MPEG-2, which the tables cannot tell from MPEG-1

  #video = -1 // the PID
  #last = -1
  #gap = false

  // read takes a message: an ArrayBuffer of whole packets.
  read(message) {
    const b = new Uint8Array(message)
    for (let i = 0; i + PACKET <= b.length; i += PACKET) {
      if (b[i] !== 0x47) continue
      const pid = (b[i + 1] & 0x1f) << 8 | b[i + 2]
      const adaptation = b[i + 3] & 0x20 ? b[i + 4] + 1 : 0
      if (pid === this.#video && adaptation > 1 && b[i + 5] & 0x80) this.#gap = true
      if (b[i + 1] & 0x40 && b[i + 3] & 0x10) this.#start(b, i + 4 + adaptation, i + PACKET, pid)
    }
  }

  // #start looks at the first bytes of a PES packet or section.
  #start(b, at, end, pid) {
    if (at + 19 > end || b[at] || b[at + 1] || b[at + 2] !== 1) return
    if (b[at + 3] >> 4 !== 0xe || this.#video >= 0 && pid !== this.#video) return
    this.#video = pid
    this.#sequenceHeader(b, at + 9 + b[at + 8], end)
    const flags = b[at + 7] >> 6
    const time = flags === 3 ? timestamp(b, at + 14) : flags === 2 ? timestamp(b, at + 9) : -1
    if (time >= 0 && time === this.#last) return // another part of the same picture
    this.pictures++
    this.lastPicture = Date.now()
    if (time < 0) return
    const step = this.#last < 0 ? 0 : (time - this.#last + WRAP) % WRAP
    if (this.#gap) {
      if (this.interval > 0 && step < WRAP / 2) this.lost += Math.max(0, Math.round(step / this.interval) - 1)
    } else if (step > 0 && (this.interval === 0 || step < this.interval)) {
      this.interval = step
    }
    this.#gap = false
    this.#last = time
  }

  // #sequenceHeader: in MPEG-2 an extension follows the sequence header (ISO/IEC 13818-2, 6.2.2).
  #sequenceHeader(b, at, end) {
    if (at + 12 > end || b[at] || b[at + 1] || b[at + 2] !== 1 || b[at + 3] !== 0xb3) return
    let next = at + 12
    if (b[at + 11] & 2) next += 64
    if (b[next - 1] & 1) next += 64
    if (next + 4 <= end) this.mpeg2 = b[next] === 0 && b[next + 1] === 0 && b[next + 2] === 1 && b[next + 3] === 0xb5
  }
}

function timestamp(b, at) {
  return (b[at] >> 1 & 7) * 2 ** 30 + (b[at + 1] << 22 | (b[at + 2] >> 1) << 15 | b[at + 3] << 7 | b[at + 4] >> 1)
}
