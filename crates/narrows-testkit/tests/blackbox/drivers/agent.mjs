// An agent on the official npm SDKs: version 1 (legacy eras) and version 2 (both).
// usage: agent.mjs SDK ERA PLAN [URL | COMMAND ARGS...]   SDK: v1, v2; ERA: legacy, or a modern revision
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.NARROWS_PARTS}/npm/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const [sdk, era, planFile, ...target] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(planFile, "utf8"));
const who = { name: "agent", version: "1" };
const env = { ...process.env, ...plan.env };

let client;
let stdio;
let http;
if (sdk === "v1") {
  const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
  ({ StdioClientTransport: stdio } = await load("@modelcontextprotocol/sdk/client/stdio.js"));
  ({ StreamableHTTPClientTransport: http } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js"));
  client = new Client(who);
} else {
  const v2 = await load("@modelcontextprotocol/client");
  ({ StdioClientTransport: stdio } = await load("@modelcontextprotocol/client/stdio"));
  http = v2.StreamableHTTPClientTransport;
  client = new v2.Client(who, { versionNegotiation: { mode: era === "legacy" ? "legacy" : { pin: era } } });
}
const transport = target[0].startsWith("http")
  ? new http(new URL(target[0]))
  : new stdio({ command: target[0], args: target.slice(1), env });
await client.connect(transport);
const tools = await client.listTools();
const search = await client.callTool({ name: "search", arguments: plan.search });
const run = await client.callTool({ name: "run", arguments: plan.run });
await client.close();
console.log(
  JSON.stringify({
    tools: tools.tools.map((t) => t.name),
    search: search.structuredContent,
    search_text: search.content[0].text,
    run: run.structuredContent,
    run_error: run.isError === true,
    content: run.content.map((c) => c.type),
    text: run.content[0].text,
  }),
);
process.exit(0);
