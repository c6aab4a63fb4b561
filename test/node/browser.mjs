// Drives Chromium over its own protocol (CDP). Playwright and puppeteer keep every page visible and focused; these
// tests want tabs that are hidden for real.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'

export class Browser {
  #waiting = new Map() // for answers, by number
  #listeners = [] // of events
  #number = 0

  static async start() {
    const browser = new Browser()
    browser.profile = await mkdtemp(join(tmpdir(), 'vw-browser-'))
    // Chromium's own sandbox wants a user namespace, which root in a container may not have. --mute-audio: no sound
    // card. --ignore-certificate-errors: the tests sign certificates themselves.
    const flags = ['--headless=new', '--no-sandbox', '--remote-debugging-port=0', `--user-data-dir=${browser.profile}`,
      '--no-first-run', '--mute-audio', '--ignore-certificate-errors', '--window-size=1280,800', 'about:blank']
    browser.process = spawn('chromium', flags, { stdio: ['ignore', 'ignore', 'pipe'] })
    let log = ''
    const url = await new Promise((resolve, reject) => {
      browser.process.stderr.on('data', data => {
        log += data
        const found = /ws:\/\/\S+/.exec(log)
        if (found) resolve(found[0])
      })
      browser.process.on('exit', () => reject(new Error('chromium ended: ' + log)))
      browser.process.on('error', reject)
    })
    browser.socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 1 << 28 })
    await new Promise((resolve, reject) => {
      browser.socket.on('open', resolve)
      browser.socket.on('error', reject)
    })
    browser.socket.on('message', data => browser.#receive(JSON.parse(data)))
    return browser
  }

  #receive(message) {
    if (!message.id) {
      for (const listener of this.#listeners) listener(message)
      return
    }
    const { resolve, reject, method } = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.error) reject(new Error(`${method}: ${message.error.message}`))
    else resolve(message.result)
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#number
    this.socket.send(JSON.stringify({ id, method, params, sessionId }))
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, method }))
  }

  // tab opens an empty tab. Errors in its console, and exceptions, go to onError as text.
  async tab(onError) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const send = (method, params) => this.send(method, params, sessionId)
    this.#listeners.push(({ method, params, sessionId: from }) => {
      if (from !== sessionId) return
      if (method === 'Runtime.exceptionThrown') onError(exceptionText(params.exceptionDetails))
      if (method === 'Runtime.consoleAPICalled' && ['error', 'assert'].includes(params.type)) {
        onError(params.args.map(arg => arg.value ?? arg.description).join(' '))
      }
      if (method === 'Log.entryAdded' && params.entry.level === 'error') {
        onError(`${params.entry.text} ${params.entry.url ?? ''}`)
      }
    })
    await Promise.all([send('Page.enable'), send('Runtime.enable'), send('Log.enable')])
    return { send, targetId, evaluate: expression => this.#evaluate(send, expression) }
  }

  async #evaluate(send, expression) {
    const params = { expression, returnByValue: true, awaitPromise: true }
    const { result, exceptionDetails } = await send('Runtime.evaluate', params)
    if (exceptionDetails) throw new Error(exceptionText(exceptionDetails))
    return result.value
  }

  // front brings a tab to the front; the others are hidden.
  front(tab) {
    return this.send('Target.activateTarget', { targetId: tab.targetId })
  }

  async close() {
    const gone = new Promise(resolve => this.process.once('close', resolve))
    if (this.process.exitCode === null) {
      this.process.kill()
      await gone
    }
    this.socket.terminate()
    // Chromium's helpers may still write for a moment.
    await rm(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
}

function exceptionText(details) {
  return details.exception?.description ?? details.text
}
