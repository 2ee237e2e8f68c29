"""Calls tools directly, without Narrows, on the official Python SDK.

usage: direct.py PLAN      PLAN: {"servers": {name: {command, args, env?}}, "calls": [[server, tool, arguments]]}
Prints the results in order, each as a program in Narrows sees it.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


def value(result) -> object:
    if result.structured_content is not None:
        return result.structured_content
    text = "\n".join(c.text for c in result.content if c.type == "text")
    try:
        return json.loads(text)
    except ValueError:
        return text


async def call(server: dict, tool: str, arguments: dict) -> object:
    parameters = StdioServerParameters(
        command=server["command"], args=server.get("args", []), env=server.get("env"), cwd=server.get("cwd")
    )
    async with Client(stdio_client(parameters), mode="auto") as client:
        return value(await client.call_tool(tool, arguments))


async def main(plan: dict) -> list:
    return [await call(plan["servers"][server], tool, arguments) for server, tool, arguments in plan["calls"]]


with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps(asyncio.run(main(json.load(file)))))
