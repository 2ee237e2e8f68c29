"""An agent on the official Python SDK: list tools, search, run, and say what came back as JSON.

usage: agent.py ERA PLAN [URL | COMMAND ARGS...]   (ERA: legacy, or a modern revision)
PLAN is a JSON file: {"search": {...arguments}, "run": {...arguments}}
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(era: str, plan: dict, target: list[str]) -> dict:
    if target[0].startswith("http"):
        server = target[0]
    else:
        server = stdio_client(StdioServerParameters(command=target[0], args=target[1:], env=plan.get("env")))
    progress = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append([done, total, message])

    async with Client(server, mode=era) as client:
        tools = await client.list_tools()
        found = await client.call_tool("search", plan["search"])
        ran = await client.call_tool("run", plan["run"], progress_callback=on_progress)
        return {
            "tools": [t.name for t in tools.tools],
            "search": found.structured_content,
            "search_text": found.content[0].text,
            "run": ran.structured_content,
            "run_error": bool(ran.is_error),
            "content": [c.type for c in ran.content],
            "text": ran.content[0].text,
            "progress": progress,
        }


with open(sys.argv[2], encoding="utf-8") as file:
    print(json.dumps(asyncio.run(main(sys.argv[1], json.load(file), sys.argv[3:]))))
