"""An agent on `langchain-mcp-adapters`, with an entry for each transport.

usage: langchain.py PLAN   PLAN is a JSON file: {"entries": {NAME: {"transport": ..., ...}}}. Prints, for each
entry, what it saw as JSON.
"""

import asyncio
import json
import sys

from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp.types import ElicitResult

seen = {"progress": [], "asked": []}


async def on_progress(progress, total, message, _context):
    seen["progress"].append([progress, total, message])


async def on_elicitation(_mcp, params, _context):
    seen["asked"].append(params.message)
    return ElicitResult(action="accept", content={"username": "me", "email": "me@here"})


async def visit(client, entry):
    tools = {tool.name: tool for tool in await client.get_tools(server_name=entry)}
    seen["progress"], seen["asked"] = [], []

    async def call(name, arguments=None):
        answer = await tools[name].ainvoke(arguments or {})
        return answer if isinstance(answer, str) else [block.get("text", block.get("type")) for block in answer]

    said = {
        "tools": sorted(tools),
        "text": await call("test_simple_text"),
        "progress": await call("test_tool_with_progress"),
        "elicit": await call("test_elicitation", {"message": "who?"}),
        "resources": [blob.as_string() for blob in await client.get_resources(entry, uris=["test://static-text"])],
        "prompt": [
            message.content
            for message in await client.get_prompt(
                entry, "test_prompt_with_arguments", arguments={"arg1": "a", "arg2": "b"}
            )
        ],
    }
    return said | {"seen": {"progress": seen["progress"], "asked": seen["asked"]}}


async def main(plan):
    callbacks = Callbacks(on_progress=on_progress, on_elicitation=on_elicitation)
    client = MultiServerMCPClient(plan["entries"], callbacks=callbacks)
    return {entry: await visit(client, entry) for entry in plan["entries"]}


with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps(asyncio.run(main(json.load(file)))))
