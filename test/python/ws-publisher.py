"""A websocket publisher that shares no code with vw: sends a file as binary messages, one of them in fragments, with
pings between them, and closes. It needs python3-websockets."""

import asyncio
import sys

import websockets


async def publish(url, path):
    with open(path, "rb") as file:
        data = file.read()
    async with websockets.connect(url) as socket:
        for at in range(0, len(data), 50_000):
            piece = data[at : at + 50_000]
            if at == 50_000:
                await socket.send(piece[i : i + 999] for i in range(0, len(piece), 999))
            else:
                await socket.send(piece)
            await (await socket.ping())
    print(socket.close_code)


if len(sys.argv) != 3:
    sys.exit("usage: ws-publisher.py URL FILE")
asyncio.run(publish(sys.argv[1], sys.argv[2]))
