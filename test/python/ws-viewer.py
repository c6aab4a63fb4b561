"""A websocket viewer that shares no code with vw: writes the binary messages of a server to a file, and tells how the
connection ended as one JSON line. It needs python3-websockets."""

import asyncio
import json
import sys

import websockets


async def watch(url, path):
    async with websockets.connect(url, max_size=None) as socket:
        with open(path, "wb") as out:
            try:
                while True:
                    out.write(await socket.recv())
            except websockets.ConnectionClosed as closed:
                print(json.dumps({"event": "closed", "code": closed.code, "reason": closed.reason}))


if len(sys.argv) != 3:
    sys.exit("usage: ws-viewer.py URL FILE")
asyncio.run(watch(sys.argv[1], sys.argv[2]))
