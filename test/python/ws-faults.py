"""A websocket client that shares no code with vw, and tells what a server does to it: for each URL it connects, sends
three binary messages of 1000 bytes and a ping, looks on for a while, and prints what it saw as one JSON line. The URLs
are tried all at once. It is test/node/ws-faults.mjs once more, on Debian's python3-websockets."""

import asyncio
import json
import sys
import time

import websockets

USAGE = """usage: python3 ws-faults.py MS URL...
looks on for MS milliseconds; sends 8 MiB to a URL that ends with /slow, 2 MiB to .../over, and a text to .../say"""


async def read(socket, saw):
    async for message in socket:
        saw["text" if isinstance(message, str) else "messages"] += 1


async def write(socket, url, saw, begin):
    for i in range(3):
        await socket.send(bytes([i]) * 1000)
    if url.endswith("/say"):
        await socket.send("a text")
    pong = await socket.ping()
    pong.add_done_callback(lambda f: f.exception() or saw.update(pong=(time.monotonic() - begin) * 1000))
    if url.endswith("/slow"):
        await socket.send(bytes(8 << 20))
    if url.endswith("/over"):
        await socket.send(bytes(2 << 20))


async def look(ms, url):
    saw = {"url": url, "opened": False, "status": 0, "headers": {}, "error": "", "socketError": "", "code": 0,
           "reason": "", "state": "", "messages": 0, "text": 0, "pong": 0, "unsent": 0}
    begin = time.monotonic()
    try:
        socket = await websockets.connect(url, open_timeout=ms / 2000, close_timeout=60, compression=None,
                                          ping_interval=None, max_size=None)
    except websockets.exceptions.InvalidStatusCode as err:
        saw["status"], saw["headers"] = err.status_code, {k.lower(): v for k, v in err.headers.raw_items()}
        return saw
    except Exception as err:  # whatever it is, it is what the server did
        saw["error"] = f"{type(err).__name__}: {err}"
        return saw
    saw["opened"] = True
    tasks = [asyncio.create_task(read(socket, saw)), asyncio.create_task(write(socket, url, saw, begin))]
    await asyncio.sleep(begin + ms / 1000 - time.monotonic())
    saw["state"] = socket.state.name.lower()
    saw["unsent"] = socket.transport.get_write_buffer_size()
    saw["code"], saw["reason"] = socket.close_code or 0, socket.close_reason or ""
    if socket.close_rcvd is not None:
        saw["code"], saw["reason"] = socket.close_rcvd.code, socket.close_rcvd.reason
    if socket.close_sent is not None and socket.close_rcvd is None:
        saw["error"] = socket.close_sent.reason or str(socket.close_sent.code)
    cause = getattr(socket, "transfer_data_exc", None)
    if cause is not None:
        saw["socketError"] = f"{type(cause).__name__}: {cause}"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    socket.transport.abort()
    return saw


async def main():
    if len(sys.argv) < 3:
        sys.exit(USAGE)
    for saw in await asyncio.gather(*(look(int(sys.argv[1]), url) for url in sys.argv[2:])):
        print(json.dumps(saw))


asyncio.run(main())
