// Opens a page that plays a stream and tells, as JSON lines, what can be seen of it. The stream's picture must carry
// frame number and clock as rows of boxes (test/viewers_test.go: readablePicture).
//
//   {"at":1764316800123,"frame":77,"delay":54,"first":212,"firstDelay":60,"unreadable":0,"title":"Live",…}
//
// at is when, frame the number of the newest picture, delay how late it was drawn in ms, first how long after the
// opening of the page the first picture was drawn, firstDelay how late that one was. A line "error" is an error in
// the console. Commands on standard input, one a line:
//   hide             another tab comes to the front
//   show             and this one again
//   reload
//   size W H SCALE   of the window
//   media dark       the scheme of colours
//   shot FILE        writes a screenshot
//   state WORD       waits until the page says so of the stream
//   wait MS
//   eval EXPRESSION  prints {"value":…}
//   key K            presses a key, as a user does
//   downloads DIR    is where files go that the page saves
//   controls         prints what a screen reader finds to press, {"value":["button Full screen",…]}
//   open URL

import { writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Browser } from './browser.mjs'
import { probe } from './probe.mjs'

const url = process.argv[2]
if (!url) {
  process.stderr.write('usage: node watch.mjs URL\n')
  process.exit(2)
}
const print = object => process.stdout.write(JSON.stringify(object) + '\n')

const browser = await Browser.start()
let ending = false
async function end(status) {
  if (ending) return
  ending = true
  await browser.close()
  process.exit(status)
}
process.on('SIGTERM', () => end(0))
process.on('SIGINT', () => end(0))

const tab = await browser.tab(text => print({ error: text }))
const other = await browser.tab(() => {})
await tab.send('Page.addScriptToEvaluateOnNewDocument', { source: `(${probe})()` })
await browser.front(tab)

const commands = {
  hide: () => browser.front(other),
  show: () => browser.front(tab),
  reload: () => tab.send('Page.reload'),
  open: target => tab.send('Page.navigate', { url: target }),
  size: (width, height, scale = 1) => tab.send('Emulation.setDeviceMetricsOverride',
    { width: Number(width), height: Number(height), deviceScaleFactor: Number(scale), mobile: Number(width) < 500 }),
  media: value => tab.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] }),
  shot: async file => {
    const { data } = await tab.send('Page.captureScreenshot')
    await writeFile(file, Buffer.from(data, 'base64'))
  },
  state: async word => {
    while (await tab.evaluate('document.getElementById("state")?.textContent').catch(() => '') !== word) await delay(50)
  },
  wait: ms => delay(Number(ms)),
  key: async key => {
    const event = { key, text: key.length === 1 ? key : undefined }
    await tab.send('Input.dispatchKeyEvent', { type: 'keyDown', ...event })
    await tab.send('Input.dispatchKeyEvent', { type: 'keyUp', key })
  },
  downloads: folder => browser.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder }),
  controls: async () => {
    const { nodes } = await tab.send('Accessibility.getFullAXTree')
    const roles = ['button', 'image', 'Video', 'heading', 'status']
    const shown = nodes.filter(node => !node.ignored && roles.includes(node.role.value))
    print({ value: shown.map(node => `${node.role.value} ${node.name?.value ?? ''}`.trim()) })
  },
  eval: async (...words) => print({ value: await tab.evaluate(words.join(' ')) ?? null }),
}

// One command after the other, in their order.
let last = Promise.resolve()
createInterface({ input: process.stdin }).on('line', line => {
  const [name, ...words] = line.split(' ')
  last = last.then(() => commands[name](...words))
    .then(() => print({ done: line }), err => print({ failed: line, reason: err.message }))
}).on('close', () => last.then(() => end(0)))

await tab.send('Page.navigate', { url })
while (!ending) {
  try {
    const seen = await tab.evaluate('window.vwSeen()')
    if (seen) print(seen)
  } catch {
    // The page is being loaded.
  }
  await delay(100)
}
