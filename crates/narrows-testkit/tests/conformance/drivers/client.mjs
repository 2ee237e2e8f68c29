// The agent of the official suite's client scenarios: starts Narrows with the scenario's server as
// its one upstream and does what the scenario wants of a client.
//
//   NARROWS_BIN=target/debug/narrows conformance client --command "node client.mjs" ...
//
// The suite appends the server's address and sets MCP_CONFORMANCE_{SCENARIO,CONTEXT,PROTOCOL_VERSION}.

import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const url = process.argv.at(-1);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? "";
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT || "{}");
const revision = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION ?? "2025-11-25";
const modern = revision >= "2026-07-28";
const narrows = process.env.NARROWS_BIN ?? "narrows";
const WAIT_MS = 60_000;

const home = mkdtempSync(join(tmpdir(), "narrows-conformance-"));
const quoted = (text) => JSON.stringify(text);

function settings() {
  const lines = [
    ...(scenario.startsWith("auth/") ? [] : ["[serve]", 'mode = "mcp"']),
    "[store]", 'url = "memory:"',
    "[upstream]", "cache = false",
    "[servers.s]", `url = ${quoted(url)}`, "prefix = false",
  ];
  if (scenario.startsWith("auth/")) {
    lines.push("[servers.s.oauth]");
    if (context.client_id) lines.push(`client_id = ${quoted(context.client_id)}`);
    if (context.client_secret) lines.push(`client_secret = ${quoted(context.client_secret)}`);
    if (context.private_key_pem) lines.push(`private_key = ${quoted(context.private_key_pem)}`);
    if (scenario.startsWith("auth/client-credentials")) lines.push('grant = "client"');
    // The document that the suite's server knows; used only where a server reads documents.
    lines.push('client_metadata_url = "https://conformance-test.local/client-metadata.json"');
  }
  return lines.join("\n") + "\n";
}

// With a person nobody follows redirects for Narrows: this driver is the browser then.
const person = /^auth\/(metadata-|token-endpoint-auth-)/.test(scenario);

function start(args, stderr = "inherit") {
  const env = {
    PATH: process.env.PATH, HOME: home,
    XDG_CONFIG_HOME: join(home, "config"), XDG_DATA_HOME: join(home, "data"),
    // Authorization servers of the suite say yes without a person.
    ...(person ? {} : { NARROWS_LOGIN_FOLLOW: "1" }),
  };
  return spawn(narrows, args, { env, cwd: home, stdio: ["pipe", "pipe", stderr] });
}

// One command of Narrows, to its end.
function command(...args) {
  return new Promise((resolve, reject) => {
    const child = start(args);
    let out = "";
    child.stdin.end();
    child.stdout.on("data", (data) => (out += data));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out }));
  });
}

// Narrows itself said no; any other error is a fault of this driver or of a server.
class Refused extends Error {}

// `narrows auth login`, and the browser that goes where it says.
function login() {
  return new Promise((resolve, reject) => {
    const child = start(["auth", "login", "s", "--no-browser", "--wait-s", "60"], "pipe");
    createInterface({ input: child.stderr }).on("line", (line) => {
      console.error(`narrows auth login: ${line}`);
      if (line.startsWith("http")) fetch(line).then((page) => page.text()).catch(reject);
    });
    child.stdout.resume();
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Refused(`login: exit ${code}`))));
  });
}

// An agent that is connected to `narrows serve` on its standard input and output.
class Agent {
  constructor({ capabilities = {}, answer = () => ({}) } = {}) {
    this.capabilities = capabilities;
    this.answer = answer;
    this.next = 0;
    this.waiting = new Map();
    this.child = start(["serve"]);
    createInterface({ input: this.child.stdout }).on("line", (line) => this.hear(JSON.parse(line)));
    this.ended = new Promise((resolve) => this.child.on("close", resolve));
  }

  hear(message) {
    if (message.method && message.id !== undefined) {
      this.send({ jsonrpc: "2.0", id: message.id, result: this.answer(message) });
    } else if (!message.method) {
      this.waiting.get(message.id)?.(message);
      this.waiting.delete(message.id);
    }
  }

  send(message) {
    this.child.stdin.write(JSON.stringify(message) + "\n");
  }

  async ask(method, params = {}) {
    const id = ++this.next;
    if (modern) {
      params = {
        ...params,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": revision,
          "io.modelcontextprotocol/clientCapabilities": this.capabilities,
          "io.modelcontextprotocol/clientInfo": { name: "conformance", version: "1" },
        },
      };
    }
    const answer = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), WAIT_MS);
      this.waiting.set(id, (message) => (clearTimeout(timer), resolve(message)));
      this.send({ jsonrpc: "2.0", id, method, params });
    });
    if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
    return answer.result;
  }

  async open() {
    if (!modern) {
      await this.ask("initialize", {
        protocolVersion: revision, capabilities: this.capabilities,
        clientInfo: { name: "conformance", version: "1" },
      });
      this.send({ jsonrpc: "2.0", method: "notifications/initialized" });
    }
    return this;
  }

  async tools() {
    return (await this.ask("tools/list")).tools;
  }

  // Calls a tool; a modern server's questions are answered and the call is made again.
  async call(name, args = {}) {
    const params = { name, arguments: args };
    for (let round = 0; ; round++) {
      const result = await this.ask("tools/call", params);
      if (result.resultType !== "input_required" || round === 8) return result;
      delete params.inputResponses;
      delete params.requestState;
      if (result.requestState !== undefined) params.requestState = result.requestState;
      params.inputResponses = Object.fromEntries(
        Object.entries(result.inputRequests ?? {}).map(([key, request]) => [key, this.answer(request)]),
      );
    }
  }

  async close() {
    this.child.stdin.end();
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 5_000);
    await this.ended;
    clearTimeout(timer);
  }
}

// Arguments that fit a schema.
function argumentsFor(tool) {
  const schema = tool.inputSchema ?? {};
  const names = schema.required ?? Object.keys(schema.properties ?? {});
  const value = { string: "x", number: 5, integer: 5, boolean: true, array: [], object: {} };
  return Object.fromEntries(
    names.map((name) => {
      const part = schema.properties?.[name] ?? {};
      return [name, part.default ?? value[part.type] ?? "x"];
    }),
  );
}

// Fills a form with its defaults.
function withDefaults({ method, params }) {
  if (method !== "elicitation/create") return {};
  const parts = Object.entries(params.requestedSchema?.properties ?? {});
  const value = (part) =>
    part.default ?? (part.type === "boolean" ? true : part.type === "string" ? "x" : 1);
  return {
    action: "accept",
    content: Object.fromEntries(parts.map(([name, part]) => [name, value(part)])),
  };
}

const everything = async (agent) => {
  for (const tool of await agent.tools()) {
    await agent.call(tool.name, argumentsFor(tool)).catch((e) => console.error(`${tool.name}: ${e.message}`));
  }
};

const acts = {
  async initialize(agent) {
    await agent.tools();
  },
  async tools_call(agent) {
    const tool = (await agent.tools()).find((tool) => tool.name === "add_numbers");
    await agent.call(tool.name, { a: 5, b: 3 });
  },
  "elicitation-sep1034-client-defaults": everything,
  "sse-retry": everything,
  async "request-metadata"(agent) {
    await agent.tools();
    await agent.tools();
  },
  async "sep-2322-client-request-state"(agent) {
    const tools = await agent.tools();
    // At once, so that states could be mixed up.
    await Promise.all(
      tools.map((tool) =>
        agent.call(tool.name, argumentsFor(tool)).catch((e) => console.error(`${tool.name}: ${e.message}`)),
      ),
    );
  },
  async "http-standard-headers"(agent) {
    await everything(agent);
    for (const { uri } of (await agent.ask("resources/list")).resources) {
      await agent.ask("resources/read", { uri });
    }
    for (const { name } of (await agent.ask("prompts/list")).prompts) {
      await agent.ask("prompts/get", { name });
    }
  },
  async "http-custom-headers"(agent) {
    const tools = await agent.tools();
    for (const call of context.toolCalls) {
      const tool = tools.find((tool) => tool.name === call.name);
      await agent.call(tool.name, call.arguments);
    }
  },
  "http-invalid-tool-headers": everything,
  async "json-schema-ref-no-deref"(agent) {
    await agent.tools();
  },
  async "json-schema-2020-12-preservation"(agent) {
    const tools = await agent.tools();
    const named = (name) => tools.find((tool) => tool.name === name);
    const schema = named("json_schema_2020_12_tool").inputSchema;
    await agent.call(named("json_schema_echo").name, { schema });
  },
};

// Waits for one of a few turns; gives back what ends it. The suite starts all its scenarios at once,
// and its one process is the server of each: on a busy machine it would not answer for seconds.
async function turn() {
  const folder = process.env.CONFORMANCE_TURNS;
  if (!folder) return () => {};
  for (;;) {
    for (const name of ["a", "b", "c", "d"]) {
      const taken = join(folder, name);
      try {
        mkdirSync(taken);
        return () => rmdirSync(taken);
      } catch {
        // Somebody else's.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function main() {
  mkdirSync(join(home, "config/narrows"), { recursive: true });
  writeFileSync(join(home, "config/narrows/narrows.toml"), settings());
  if (scenario.startsWith("auth/")) {
    // Each command is a process of its own: the second finds what the first logged in.
    if (person) await login();
    let failed = 0;
    for (let i = 0; i < 2; i++) {
      const { code, out } = await command("call", "s.test-tool", "{}");
      failed = code;
      process.stderr.write(`narrows call: exit ${code} ${out}\n`);
    }
    return failed;
  }
  const agent = new Agent({
    // The server of `sse-retry` takes any GET for the one that it waits for: an agent that can be
    // asked would get a connection, and so a stream, of its own.
    capabilities: scenario === "sse-retry" ? {} : { elicitation: { form: {} }, sampling: {}, roots: {} },
    answer: withDefaults,
  });
  try {
    await (acts[scenario] ?? everything)(await agent.open());
    return 0;
  } finally {
    await agent.close();
  }
}

const end = await turn();
// How it ended is for the test that runs the suite: the suite does not look.
main()
  .then((code) => (code === 0 ? "well" : "refused"), (e) => {
    console.error(`${scenario}: ${e.message}`);
    return e instanceof Refused ? "refused" : "broken";
  })
  .then((ended) => {
    console.log(`ended: ${ended}`);
    process.exitCode = ended === "well" ? 0 : 1;
    end();
    rmSync(home, { recursive: true, force: true });
  });
