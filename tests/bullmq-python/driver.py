"""Runs Python from standard input, one JSON object {code} a line, with the bullmq package connected to the Redis port named as
the argument; answers {value} or {error}, one line each, on standard output. The code is the body of an asynchronous function.
"""
import asyncio
import importlib
import json
import os
import sys
import textwrap
import traceback
import types

import bullmq

connection = {"host": "127.0.0.1", "port": int(sys.argv[1])}
queues = {}


def queue(name, options=None):
    key = json.dumps([name, options])
    if key not in queues:
        queues[key] = bullmq.Queue(name, {"connection": connection, **(options or {})})
    return queues[key]


async def worker(name, processor, options=None):
    return bullmq.Worker(name, processor, {"connection": connection, **(options or {})})


scope = {
    "bullmq": bullmq,
    "connection": connection,
    "queue": queue,
    "worker": worker,
    "sleep": lambda milliseconds: asyncio.sleep(milliseconds / 1000),
    # What one piece of code leaves for the next.
    "kept": types.SimpleNamespace(),
    # A module of this folder.
    "load": importlib.import_module,
}


async def answer(line):
    try:
        body = textwrap.indent(textwrap.dedent(json.loads(line)["code"]), " ")
        exec(f"async def run():\n{body}", scope)
        return {"value": await scope["run"]()}
    except Exception:
        return {"error": traceback.format_exc()}


def complain(loop, context):
    # The port leaves some clients of closed workers to the garbage collector, which would say so.
    if not context["message"].startswith("Unclosed Redis client"):
        loop.default_exception_handler(context)


async def main():
    asyncio.get_running_loop().set_exception_handler(complain)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(line)), flush=True)
    # At once: the connections of the queues are still open.
    os._exit(0)


asyncio.run(main())
