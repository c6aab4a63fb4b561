// The page: keeps a session going, and shows what it does.

import { setToken, streamName } from './address.js'
import { clock, streamFacts } from './facts.js'
import { Session } from './session.js'

// The script is async, so as not to wait for the style sheet and the first layout.
if (document.readyState === 'loading') {
  await new Promise(resolve => document.addEventListener('readystatechange', resolve, { once: true }))
}

const MAX_WAIT = 10_000 // ms between two attempts
const STEADY = 5_000 // a connection that held this long begins the waits anew
const GONE_AFTER = 2_000 // ms without a picture, or four times the time between two
const STUCK_AFTER = 4_000 // ms in which pictures come and the player shows none

const $ = id => document.getElementById(id)
const stage = $('stage')
const picture = $('picture')

let session = null
let previous = null // its last picture stays until there is a new one
let ended = null // how the last connection ended, until the next one is open
let nextAttempt = 0
let lastPicture = 0 // of any connection, by Date.now()
let lost = 0 // by connections that have ended
let connections = 0
let muted = true
let blocked = false
let wake = () => {} // ends the wait for the next attempt

const events = {
  status: showFacts,
  created(s) {
    s.player.element.setAttribute('aria-label', 'Live picture')
    s.player.setMuted(muted)
    picture.append(s.player.element)
    s.player.element.classList.add('coming')
  },
  picture(s) {
    if (s !== session || s === previous) return // its connection has ended
    blocked = false
    if (s.player.element.classList.contains('coming')) {
      previous?.discard()
      previous = null
      s.player.element.classList.remove('coming')
    }
    if (!state.live) requestAnimationFrame(() => setTimeout(update)) // when the picture is on the screen
  },
  blocked() {
    blocked = true
    update()
  },
}

async function watch() {
  for (let failures = 0; ;) {
    session = new Session(events)
    const begun = Date.now()
    const end = await session.run()
    ended = end
    lost += session.transport.lost
    connections++
    if (session.shown || !previous) {
      previous?.discard()
      previous = session
    } else {
      session.discard()
    }
    const lasted = Date.now() - begun
    if (session.shown && lasted > STEADY) failures = 0
    // 1012: the stream begins anew, and the server waits for us.
    const wait = end.code === 1012 && lasted > 1000 ? 0 : backoff(failures++)
    nextAttempt = end.refused ? 0 : Date.now() + (end.unplayable ? MAX_WAIT / 2 : wait)
    update()
    await pause(nextAttempt ? nextAttempt - Date.now() : Infinity)
  }
}

function backoff(failures) {
  return Math.min(MAX_WAIT, 250 * 2 ** failures) * (0.5 + Math.random() / 2)
}

function pause(ms) {
  return new Promise(resolve => {
    const timer = ms === Infinity ? 0 : setTimeout(resolve, ms)
    wake = () => {
      clearTimeout(timer)
      resolve()
    }
  })
}

// state is what the page shows: live, a word for the state's class, and the texts.
let state = { live: false, className: 'connecting', title: 'Connecting', detail: '' }

function currentState() {
  const now = Date.now()
  if (session.open) {
    ended = null
    // The pictures from memory are as old as the stream's silence.
    const silent = session.status && !session.status.live ? session.status.silent_ms : 0
    if (session.transport.lastPicture > session.arrived + 1000 || silent < GONE_AFTER) {
      lastPicture = Math.max(lastPicture, session.transport.lastPicture)
    } else if (silent > 0) {
      lastPicture ||= now - silent
    }
  }
  const interval = session.transport.interval / 90
  const age = now - lastPicture
  const late = age > Math.max(GONE_AFTER, 4 * interval)
  if (ended?.refused) return refusedState(ended.refused)
  if (ended?.unplayable) {
    return { className: 'gone', title: 'This stream cannot be played here', detail: ended.unplayable }
  }
  if (blocked) {
    const detail = 'The browser does not let the picture start by itself.'
    return { className: 'connecting', title: 'Press to play', detail }
  }
  if (!late && (session.shown || previous)) return { live: true, className: 'live', title: 'Live', detail: '' }
  const seconds = Math.max(0, Math.ceil((nextAttempt - now) / 1000))
  const next = seconds > 0 ? `The next attempt is in ${seconds} s.` : 'Trying now.'
  if (lastPicture > 0 && late) {
    const why = session.open ? 'The connection stands. The picture comes back by itself.'
      : (ended?.code === 1001 ? 'The stream has ended. ' : 'There is no connection to the server. ') + next
    return { className: 'gone', title: 'Camera gone since ' + clock(lastPicture), detail: why }
  }
  if (session.transport.pictures > 0) return { className: 'connecting', title: 'Starting', detail: '' }
  if (session.open) {
    return { className: 'connecting', title: 'Waiting for the camera', detail: 'The connection stands.' }
  }
  if (!ended) return { className: 'connecting', title: 'Connecting', detail: '' }
  const why = ended.reason ? `Because: ${ended.reason}. ` : ''
  return { className: 'connecting', title: 'No connection', detail: why + next }
}

function refusedState(refused) {
  if (refused.status !== 401) {
    return { className: 'gone', title: 'The server refuses', detail: refused.message.slice(0, 300) }
  }
  const detail = $('token-form') ? 'Enter the token that you were given.' : 'The address must show it.'
  return { className: 'gone', title: 'A token is needed', detail, token: true }
}

function update() {
  state = currentState()
  for (const id of ['name', 'state', 'controls', 'facts']) $(id)?.removeAttribute('hidden')
  const gone = state.className === 'gone'
  stage.classList.toggle('gone', gone)
  picture.classList.toggle('empty', !session.shown && !previous)
  setText($('notice-title'), state.title)
  setText($('notice-detail'), state.detail)
  $('notice').hidden = Boolean(state.live)
  $('token-form')?.toggleAttribute('hidden', !state.token)
  document.title = `${state.live ? '' : state.title + ' – '}${streamName()}`
  if (!$('state')) return
  setText($('state'), gone && lastPicture ? 'Camera gone' : state.title)
  $('state').className = state.className
  $('snapshot').disabled = !state.live
  setText($('fact-buffered'), session.player ? `${session.player.buffered().toFixed(2)} s` : '–')
  setText($('fact-lost'), String(lost + (session === previous ? 0 : session.transport.lost)))
  setText($('fact-connections'), String(connections + (session.open ? 1 : 0)))
}

// setText leaves alone what says so already: a screen reader would say it again.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

// pictureSize is that of the picture which is shown: the server may not know it.
function pictureSize() {
  const element = session.player?.element
  return { width: element?.videoWidth ?? element?.width ?? 0, height: element?.videoHeight ?? element?.height ?? 0 }
}

function showFacts(status) {
  if (!$('facts')) return
  const known = status.width > 0 ? status : { ...status, ...pictureSize() }
  for (const [name, text] of Object.entries(streamFacts(known))) setText($('fact-' + name), text || '–')
  $('note').hidden = !status.reason
  setText($('note'), status.reason)
  $('sound').hidden = !['mp2', 'aac', 'ac3', 'opus'].includes(status.codecs.audio)
}

// watchPlayer ends a session whose player shows nothing of what comes: no event says so.
let seen = { progress: -1, pictures: 0, at: 0 }
function watchPlayer() {
  const progress = session.player?.progress()
  const now = Date.now()
  if (document.hidden || progress === undefined || progress !== seen.progress) {
    seen = { progress, pictures: session.transport.pictures, at: now }
  } else if (now - seen.at > STUCK_AFTER && session.transport.pictures > seen.pictures + 3) {
    seen = { progress: -1, pictures: 0, at: now }
    session.end({ code: 0, reason: 'the player stands still' })
  }
}

function toggleSound() {
  if ($('sound')?.hidden) return
  muted = !muted
  session.player?.setMuted(muted)
  if ($('sound')) setText($('sound'), muted ? 'Sound on' : 'Sound off')
}

function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen()
  else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {})
  else session.player?.element.webkitEnterFullscreen?.()
}

function snapshot() {
  const element = session.player?.element
  if (!element || !state.live) return
  const canvas = document.createElement('canvas')
  Object.assign(canvas, pictureSize())
  canvas.getContext('2d').drawImage(element, 0, 0)
  canvas.toBlob(blob => {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(blob)
    link.download = `${streamName()}-${new Date().toISOString().replace(/:/g, '').slice(0, 17)}Z.png`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  }, 'image/png')
}

$('sound')?.addEventListener('click', toggleSound)
$('snapshot')?.addEventListener('click', snapshot)
$('fullscreen')?.addEventListener('click', toggleFullscreen)
stage.addEventListener('dblclick', toggleFullscreen)
stage.addEventListener('click', () => { if (blocked) session.player?.play() })
$('token-form')?.addEventListener('submit', event => {
  event.preventDefault()
  setToken($('token').value.trim())
  $('token').value = ''
  wake()
})
document.addEventListener('keydown', event => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input')) return
  const action = { m: toggleSound, s: snapshot, f: toggleFullscreen }[event.key.toLowerCase()]
  if (action) action()
})
document.addEventListener('visibilitychange', () => { if (!document.hidden && nextAttempt) wake() })
window.addEventListener('online', () => { if (nextAttempt) wake() })

if ($('name')) $('name').textContent = streamName()
if (!stage.requestFullscreen && !('webkitEnterFullscreen' in HTMLVideoElement.prototype)) $('fullscreen')?.remove()
// Texts wait a moment: a browser that lays out its first one loads a font, and the picture goes first.
watch()
setInterval(() => {
  watchPlayer()
  update()
}, 250)
setInterval(() => { if (!document.hidden && session.open) session.refresh() }, 3000)
