// UTCP's code mode, an isolate of isolated-vm for each run: a peer in the benchmark. Its one tool
// answers at once, in this process.
// Prints one line of JSON: milliseconds of runs, microseconds from one call's answer to the next call.
const began = performance.now();
const { CodeModeUtcpClient } = await import("@utcp/code-mode");
const client = await CodeModeUtcpClient.create();
const inputs = { type: "object", properties: { k: { type: "integer" } } };
const tool = { name: "host.echo", description: "", inputs, outputs: { type: "object" }, tags: [] };
client.getTools = async () => [tool];
let last;
const trips = [];
client.callTool = async (_name, args) => {
  if (last !== undefined) trips.push((performance.now() - last) * 1e3);
  last = performance.now();
  return args;
};
const run = async (code, value) => {
  const started = performance.now();
  const { result, logs } = await client.callToolChain(code);
  if (result !== value) throw new Error(logs.join("\n"));
  return performance.now() - started;
};
const pause = () => new Promise((done) => setTimeout(done, 5));
await run("return 1", 1);
const cold_ms = [performance.now() - began];
const warm_ms = [];
for (let i = 0; i < 100; i++) {
  await pause();
  warm_ms.push(await run("return 1", 1));
}
const sequence_ms = [];
for (let i = 0; i < 200; i++) sequence_ms.push(await run("return 1", 1));
await run("for (let i = 0; i < 300; i++) host.echo({ k: i }); return 1", 1);
const crowd = performance.now();
let count = 0;
const one = async () => {
  while (performance.now() - crowd < 3000) {
    await run("return 1", 1);
    count++;
  }
};
await Promise.all([one(), one(), one(), one()]);
const per_second = count / ((performance.now() - crowd) / 1e3);
console.log(JSON.stringify({ cold_ms, warm_ms, sequence_ms, trip_us: trips, idle_kib: null, per_second }));
