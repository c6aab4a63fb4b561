// Where the stream is. The page knows only its own address, since a proxy may serve it below any path. A token in
// that address is taken out of the address bar, so that neither a bookmark nor a screenshot shows it, and is kept for
// this tab.

const address = new URL(location.href)
const inPath = document.documentElement.dataset.token === 'path'
const base = new URL('.', address)
const leaf = address.pathname.slice(base.pathname.length) // '' or 'embed'

let token = address.searchParams.get('token') ?? ''
if (inPath) {
  const parts = base.pathname.split('/') // '', …, TOKEN, ''
  token ||= decodeURIComponent(parts[parts.length - 2])
  base.pathname = parts.slice(0, -2).join('/') + '/'
}
const place = base.pathname // what tokens are kept under

if (token) {
  address.searchParams.delete('token')
  const query = address.searchParams.toString()
  history.replaceState(null, '', place + leaf + (query && '?' + query))
  setToken(token)
} else {
  token = stored(() => sessionStorage.getItem('vw token ' + place)) ?? ''
}

// setToken makes all requests from now on show another token.
export function setToken(value) {
  token = value
  stored(() => sessionStorage.setItem('vw token ' + place, value))
}

// A frame of another host may have no storage; then a reload asks for the token again.
function stored(use) {
  try {
    return use()
  } catch {
    return null
  }
}

// streamName is what the stream is called: the last part of the path, or the host.
export function streamName() {
  return decodeURIComponent(place.split('/').filter(Boolean).pop() ?? '') || location.host
}

// statusInPage is what the server said of the stream in the page itself; null when that is not new any more.
export function statusInPage() {
  const text = document.documentElement.dataset.stream
  delete document.documentElement.dataset.stream
  return text ? JSON.parse(text) : null
}

// readStatus asks the server what the stream is. It returns null if the server does not answer, and throws Refused if
// it wants a token, or another one.
export async function readStatus() {
  let response
  try {
    response = await fetch(new URL('stream.json', base), {
      cache: 'no-store',
      headers: token ? { Authorization: 'Bearer ' + token } : {},
    })
  } catch {
    return null
  }
  if (response.status === 401 || response.status === 403) {
    throw new Refused(response.status, (await response.text()).trim())
  }
  if (!response.ok) return null
  try {
    return await response.json()
  } catch {
    return null // a proxy's own page
  }
}

export class Refused extends Error {
  constructor(status, text) {
    super(text)
    this.status = status
  }
}

// openSocket asks for the stream. A token goes as a subprotocol where its letters allow that, since addresses end up
// in the logs of proxies.
export function openSocket() {
  const url = new URL('stream', base)
  url.protocol = url.protocol.replace('http', 'ws')
  const protocols = []
  if (/^[A-Za-z0-9_-]+$/.test(token)) protocols.push('token.' + token)
  else if (token) url.searchParams.set('token', token)
  const socket = new WebSocket(url, protocols)
  socket.binaryType = 'arraybuffer'
  return socket
}
