"""An agent on the `fastmcp` client.

usage: fastmcp_client.py ERA PLAN   PLAN is a JSON file: {"target": URL or an `mcpServers` object}. Prints what it
saw as JSON. (Not called `fastmcp.py`: that would hide the package.)
"""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.exceptions import ToolError


async def main(era, plan):
    progress, asked, logged = [], [], []

    async def on_progress(done, total, message):
        progress.append([done, total, message])

    async def elicit(message, _type, _params, _context):
        asked.append(message)
        return {"username": "me", "email": "me@here"}

    async def log(message):
        logged.append(message.data)

    client = Client(plan["target"], elicitation_handler=elicit, log_handler=log, mode=era, progress_handler=on_progress)
    async with client:
        tools = await client.list_tools()
        text = await client.call_tool("test_simple_text")
        await client.call_tool("test_tool_with_progress")
        name = "test_elicitation" if era == "legacy" else "test_input_required_result_elicitation"
        who = await client.call_tool(name, {"message": "who?"} if era == "legacy" else {})
        resource = await client.read_resource("test://static-text")
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        try:
            await client.call_tool("test_error_handling")
            error = None
        except ToolError as e:
            error = str(e)

        async def jobs():
            return json.loads((await client.call_tool("test_cancelled")).content[0].text)

        first = await jobs()
        slow = asyncio.create_task(client.call_tool("slow_compute", {"seconds": 60}))
        async with asyncio.timeout(20):
            while (await jobs())["begun"] == first["begun"]:
                await asyncio.sleep(0.05)
            slow.cancel()
            await asyncio.wait([slow])
            # It is the fixture that must be told.
            while (last := await jobs())["cancelled"] == first["cancelled"]:
                await asyncio.sleep(0.05)
        after = await client.call_tool("test_simple_text")
        return {
            "tools": sorted(tool.name for tool in tools),
            "text": text.content[0].text,
            "elicit": who.content[0].text,
            "asked": asked,
            "progress": progress,
            "resource": resource[0].text,
            "prompt": prompt.messages[0].content.text,
            "error": error,
            "cancelled": last["cancelled"] - first["cancelled"],
            "after": after.content[0].text,
        }


with open(sys.argv[2], encoding="utf-8") as file:
    print(json.dumps(asyncio.run(main(sys.argv[1], json.load(file)))))
