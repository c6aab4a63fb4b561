// How figures are written.

const codecNames = {
  mpeg1video: 'MPEG-1', mpeg2video: 'MPEG-2', h264: 'H.264', hevc: 'HEVC',
  mp2: 'MP2', aac: 'AAC', ac3: 'AC-3', opus: 'Opus', none: '', other: 'unknown',
}

// clock is a time of day: hours, minutes and seconds. The forms of other countries take a browser up to 60 ms to load.
export function clock(ms) {
  const time = new Date(ms)
  const text = time.toTimeString().slice(0, 8)
  return Date.now() - ms < 12 * 3600e3 ? text : time.toLocaleDateString() + ' ' + text
}

export function bytes(n) {
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (n < 1000) return `${n < 10 && unit !== 'B' ? n.toFixed(1) : Math.round(n)} ${unit}`
    n /= 1000
  }
  return `${n.toFixed(1)} TB`
}

// streamFacts are the texts for the elements fact-NAME that come from the server.
export function streamFacts(s) {
  const size = s.width > 0 ? `${s.width} × ${s.height}` : ''
  const pace = s.fps > 0 ? `${Number(s.fps.toFixed(2))} frames/s` : ''
  const codecs = [s.codecs.video, s.codecs.audio].map(name => codecNames[name] ?? name).filter(Boolean)
  return {
    picture: [size, pace].filter(Boolean).join(', '),
    codecs: codecs.join(', '),
    rate: s.bit_rate > 0 ? `${(s.bit_rate / 1e6).toFixed(2)} Mbit/s` : '',
    gop: s.gop_seconds > 0 ? `${s.gop_seconds.toFixed(1)} s` : '',
    since: s.since ? clock(Date.parse(s.since)) : '',
    viewers: String(s.viewers),
    dropped: bytes(s.dropped_bytes),
  }
}
