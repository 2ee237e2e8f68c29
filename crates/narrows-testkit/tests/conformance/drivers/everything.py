"""All that a client can do, on the official Python SDK, against the fixture or what stands before it.

usage: everything.py CLIENT_ERA UPSTREAM_ERA PLAN [URL | sse+URL | COMMAND ARGS...]
CLIENT_ERA is `legacy` or a modern revision; UPSTREAM_ERA (`legacy` or `modern`) chooses the tools that ask
questions. PLAN is a JSON file: {"env": {...}}. Prints what came back for each step as JSON, without what
belongs to one revision only.
"""

import asyncio
import json
import sys
import warnings

from mcp import Client, MCPError, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client

warnings.simplefilter("ignore")
WATCHED = "test://watched-resource"
PNG_TOOLS = ["test_image_content", "test_audio_content", "test_embedded_resource", "test_multiple_content_types"]
# Only one of the two revisions has these members.
OF_A_REVISION = ["resultType", "ttlMs", "cacheScope"]


def plain(value):
    found = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name in OF_A_REVISION:
        found.pop(name, None)
    meta = {k: v for k, v in found.pop("_meta", {}).items() if not k.endswith("/serverInfo")}
    return found | ({"_meta": meta} if meta else {})


class Seen:
    """What the client was asked and told."""

    def __init__(self):
        self.asked, self.logged, self.told = [], [], []
        self.changed = asyncio.Event()

    async def elicit(self, _context, params):
        self.asked.append(["elicitation", params.message, plain(params).get("requestedSchema")])
        names = plain(params).get("requestedSchema", {}).get("properties", {})
        kinds = {"boolean": True, "integer": 7, "number": 7.5, "array": []}
        content = {name: kinds.get(schema.get("type"), f"my {name}") for name, schema in names.items()}
        return types.ElicitResult(action="accept", content=content)

    async def sample(self, _context, params):
        self.asked.append(["sampling", plain(params)["messages"]])
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(type="text", text="sampled"), model="none"
        )

    async def roots(self, _context):
        self.asked.append(["roots"])
        return types.ListRootsResult(roots=[types.Root(uri="file:///my/root", name="mine")])

    async def log(self, params):
        self.logged.append([params.level, params.data, params.logger])

    async def message(self, message):
        if isinstance(message, Exception):
            return
        method = getattr(message, "method", None) or getattr(message.root, "method", "")
        if method.endswith("updated") or method.endswith("list_changed"):
            self.told.append(method)
            self.changed.set()


async def steps(client, upstream, seen, modern):
    async def call(name, arguments=None, **more):
        return plain(await client.call_tool(name, arguments or {}, **more))

    yield "tools", client.list_tools()
    for name in ["test_simple_text", "test_error_handling", *PNG_TOOLS]:
        yield name, call(name)
    yield "unknown tool", call("no_such_tool")
    progress = []

    async def on_progress(done, total, message):
        progress.append([done, total, message])

    async def with_progress():
        return [await call("test_tool_with_progress", progress_callback=on_progress), progress]

    yield "progress", with_progress()
    if not modern:
        yield "level", client.set_logging_level("debug")

    async def logs():
        answer = await call("test_tool_with_logging")
        return [answer, seen.logged]

    yield "logging", logs()
    yield "resources", client.list_resources()
    yield "templates", client.list_resource_templates()
    for uri in ["test://static-text", "test://static-binary", "test://template/7/data", "test://nothing/here"]:
        yield uri, client.read_resource(uri)
    yield "prompts", client.list_prompts()
    yield "simple prompt", client.get_prompt("test_simple_prompt")
    yield "prompt", client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
    yield "prompt image", client.get_prompt("test_prompt_with_image")
    yield "no prompt", client.get_prompt("no_such_prompt")
    reference = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    yield "completion", client.complete(reference, {"name": "arg1", "value": "p"})

    asking = {
        "legacy": ["test_elicitation", "test_elicitation_sep1034_defaults", "test_sampling", "test_list_roots"],
        "modern": [
            f"test_input_required_result_{kind}"
            for kind in ["elicitation", "sampling", "list_roots", "request_state", "multiple_inputs", "multi_round"]
        ],
    }[upstream]
    for name in asking:

        async def ask(name=name):
            seen.asked.clear()
            arguments = {"test_sampling": {"prompt": "say it"}, "test_elicitation": {"message": "who?"}}
            answer = await call(name, arguments.get(name))
            return [answer, sorted(seen.asked, key=str)]

        yield name, ask()
    if upstream == "modern":
        yield "asking prompt", client.get_prompt("test_input_required_result_prompt")

    async def jobs():
        return json.loads((await client.call_tool("test_cancelled", {})).content[0].text)

    async def cancel():
        first = await jobs()
        slow = asyncio.create_task(client.call_tool("slow_compute", {"seconds": 60}))
        while (await jobs())["begun"] == first["begun"]:
            await asyncio.sleep(0.05)
        slow.cancel()
        try:
            await slow
        except (asyncio.CancelledError, MCPError):
            # It is the fixture that must be told; no later than the end of this step.
            while (last := await jobs())["cancelled"] == first["cancelled"]:
                await asyncio.sleep(0.05)
            arrived = {name: last[name] - first[name] for name in last}
            return [arrived, await call("test_simple_text")]
        return "it was not cancelled"

    yield "cancel", cancel()

    async def watch():
        if modern:
            async with client.listen(resource_subscriptions=[WATCHED], tools_list_changed=True) as heard:
                await call("test_touch_watched_resource")
                first = type(await asyncio.wait_for(anext(heard), 20)).__name__
                await call("test_trigger_tool_change")
                second = first
                # An update that was seen on two connections may be told twice.
                while second == first:
                    second = type(await asyncio.wait_for(anext(heard), 20)).__name__
                return [first.startswith("ResourceUpdated"), second.startswith("ToolsListChanged"), [first, second]][:2]
        await client.subscribe_resource(WATCHED)
        for name, wanted in [
            ("test_touch_watched_resource", "notifications/resources/updated"),
            ("test_trigger_tool_change", "notifications/tools/list_changed"),
        ]:
            seen.told.clear()
            await call(name)
            async with asyncio.timeout(20):
                while wanted not in seen.told:
                    seen.changed.clear()
                    await seen.changed.wait()
        await client.unsubscribe_resource(WATCHED)
        return [True, True]

    yield "watch", watch()


async def main(era, upstream, plan, target):
    if target[0].startswith("sse+"):
        server = sse_client(target[0].removeprefix("sse+"))
    elif target[0].startswith("http"):
        server = target[0]
    else:
        server = stdio_client(StdioServerParameters(command=target[0], args=target[1:], env=plan.get("env")))
    seen = Seen()
    modern = era != "legacy"
    client = Client(
        server,
        mode=era,
        sampling_callback=seen.sample,
        elicitation_callback=seen.elicit,
        list_roots_callback=seen.roots,
        logging_callback=seen.log,
        log_level="debug" if modern else None,
        message_handler=seen.message,
        cache=None,
    )
    answers = {}
    async with client:
        async for name, step in steps(client, upstream, seen, modern):
            try:
                async with asyncio.timeout(40):
                    answer = await step
                answers[name] = plain(answer) if hasattr(answer, "model_dump") else answer
            except MCPError as e:
                answers[name] = {"error": e.error.code, "message": e.error.message}
            except TimeoutError:
                answers[name] = "no answer in 40 s"
            except Exception as e:  # noqa: BLE001
                answers[name] = f"{type(e).__name__}: {e}"
    return answers


with open(sys.argv[3], encoding="utf-8") as file:
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], json.load(file), sys.argv[4:]))))
