// An agent on the official npm SDKs: version 1 (legacy eras) and version 2 (both).
// usage: everything.mjs SDK ERA PLAN   PLAN is a JSON file: {"url"} or {"command", "args", "env"}
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.NARROWS_PARTS}/npm/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const [sdk, era, planFile] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(planFile, "utf8"));
const who = { name: "agent", version: "1" };
const capabilities = { elicitation: {} };
const asked = [];
const answer = async (request) => {
  asked.push(request.params.message);
  const names = Object.keys(request.params.requestedSchema.properties);
  return { action: "accept", content: Object.fromEntries(names.map((name) => [name, "me"])) };
};

let client;
let stdio;
let http;
if (sdk === "v1") {
  const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
  const { ElicitRequestSchema } = await load("@modelcontextprotocol/sdk/types.js");
  ({ StdioClientTransport: stdio } = await load("@modelcontextprotocol/sdk/client/stdio.js"));
  ({ StreamableHTTPClientTransport: http } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js"));
  client = new Client(who, { capabilities });
  client.setRequestHandler(ElicitRequestSchema, answer);
} else {
  const v2 = await load("@modelcontextprotocol/client");
  ({ StdioClientTransport: stdio } = await load("@modelcontextprotocol/client/stdio"));
  http = v2.StreamableHTTPClientTransport;
  const mode = era === "legacy" ? "legacy" : { pin: era };
  client = new v2.Client(who, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler("elicitation/create", answer);
}
const env = { ...process.env, ...plan.env };
await client.connect(
  plan.url ? new http(new URL(plan.url)) : new stdio({ command: plan.command, args: plan.args, env }),
);
const call = (params, options) =>
  sdk === "v1" ? client.callTool(params, undefined, options) : client.callTool(params, options);
const progress = [];
const text = await call({ name: "test_simple_text", arguments: {} });
await call({ name: "test_tool_with_progress", arguments: {} }, { onprogress: (p) => progress.push(p.progress) });
const asking = era === "legacy" ? "test_elicitation" : "test_input_required_result_elicitation";
const elicit = await call({ name: asking, arguments: era === "legacy" ? { message: "who?" } : {} });
const resource = await client.readResource({ uri: "test://static-text" });
const prompt = await client.getPrompt({ name: "test_prompt_with_arguments", arguments: { arg1: "a", arg2: "b" } });
const jobs = async () => JSON.parse((await call({ name: "test_cancelled", arguments: {} })).content[0].text);
// Waits until the fixture has seen one more.
const more = async (name, than) => {
  const end = Date.now() + 20_000;
  for (let now = await jobs(); Date.now() < end; now = await jobs()) {
    if (now[name] > than[name]) return now[name] - than[name];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the fixture saw no more ${name} in 20 s`);
};
const before = await jobs();
const stop = new AbortController();
const slow = call({ name: "slow_compute", arguments: { seconds: 60 } }, { signal: stop.signal });
const gaveUp = slow.then(
  () => Promise.reject(new Error("it was not cancelled")),
  () => {},
);
await more("begun", before);
stop.abort("enough");
await gaveUp;
const cancelled = await more("cancelled", before);
const after = await call({ name: "test_simple_text", arguments: {} });
await client.close();
console.log(
  JSON.stringify({
    text: text.content[0].text,
    elicit: elicit.content[0].text,
    asked,
    progress,
    resource: resource.contents[0].text,
    prompt: prompt.messages[0].content.text,
    cancelled,
    after: after.content[0].text,
  }),
);
process.exit(0);
