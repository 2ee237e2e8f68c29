//! Narrows and its peers over MCP stdio, against one fast scripted upstream, in one run.
//!
//! `cargo xtask bench endtoend [gateways|narrows|throughput|memory]`. Read ratios and minima: the machine is
//! small and shared.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    dead_code,
    reason = "a benchmark fails by panicking, prints, starts programs and shares the tests' house"
)]

#[path = "../tests/blackbox/house.rs"]
mod house;

use house::{Agent, House, binary, parts, repository, scripted};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// One gateway, how it is started and what its programs look like.
struct Contender {
    name: &'static str,
    tool: &'static str,
    rounds: usize,
    agent: Agent,
    extra: Value,
    noop: String,
    sequential: String,
    parallel: String,
    filter: String,
}

fn main() {
    // `cargo test --benches` calls this too, without `--bench`: nothing to do there.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut table = String::new();
    if wanted("gateways") {
        gateways(&house, true, &mut table);
    } else if wanted("narrows") {
        gateways(&house, false, &mut table);
    }
    if wanted("throughput") {
        throughput(&house, &mut table);
    }
    if wanted("memory") {
        memory(&mut table);
    }
    println!("{table}");
}

/// Narrows, and with `peers` others too.
fn gateways(house: &House, peers: bool, table: &mut String) {
    let direct = direct();
    writeln!(
        table,
        "direct client: 20 parallel 20 ms calls {:.1} ms, 20 sequential {:.1} ms",
        direct.0, direct.1
    )
    .unwrap();
    let mut agent = opened(house.command(&["serve"]));
    let mut pings: Vec<f64> = (0..500)
        .map(|_| {
            let start = Instant::now();
            agent.request("ping", &json!({}));
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    pings.sort_by(f64::total_cmp);
    let (p50, p99) = (quantile(&pings, 0.5), quantile(&pings, 0.99));
    writeln!(table, "narrows ping (no run): p50 {p50:.2} p99 {p99:.2} ms").unwrap();
    drop(agent);
    let mut contenders = vec![narrows(house, "typescript"), narrows(house, "python")];
    if peers {
        contenders.extend(others(house));
    }
    for mut contender in contenders {
        measure(&mut contender, direct, table);
    }
}

fn others(house: &House) -> Vec<Contender> {
    let upstream = binary("scripted-upstream");
    let python = parts().join("py/peers/bin");
    let mut all = Vec::new();
    let fastmcp = repository().join("crates/narrows-testkit/benches/peers/fastmcp_code_mode.py");
    let mut command = Command::new(python.join("python"));
    command.arg(fastmcp).arg(&upstream);
    let call = |tool: &str, arguments: &str| format!("await call_tool(\"{tool}\", {arguments})");
    all.push(Contender {
        name: "fastmcp code mode",
        tool: "execute",
        rounds: 100,
        agent: opened(command),
        extra: json!({}),
        noop: "return 1".to_owned(),
        sequential: format!("for i in range(20):\n    {}\nreturn 1", call("sleep", "{\"ms\": 20}")),
        parallel: "import asyncio\nawait asyncio.gather(*[call_tool(\"sleep\", {\"ms\": 20}) for i in range(20)])\nreturn 1".to_owned(),
        filter: format!("r = {}\nreturn [x[\"id\"] for x in r[\"rows\"] if x[\"state\"] == \"open\"]", call("big", "{\"bytes\": 1000000}")),
    });
    let config = house.home.path().join("toolplane.toml");
    let text = format!(
        "[toolplane]\ndefault_backend = \"monty\"\n[cli]\nmode = \"disabled\"\n[mcp.servers.scripted]\ncommand = \"{}\"\nargs = []\n",
        upstream.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(python.join("toolplane"));
    command.args(["serve", "mcp", "--config"]).arg(&config).stderr(std::process::Stdio::null());
    all.push(Contender {
        name: "toolplane",
        tool: "execute_code",
        rounds: 100,
        agent: opened(command),
        extra: json!({}),
        noop: "return 1".to_owned(),
        sequential: "for i in range(20):\n    await scripted_sleep(ms=20)\nreturn 1".to_owned(),
        parallel: "fs = [scripted_sleep(ms=20) for i in range(20)]\nfor f in fs:\n    await f\nreturn 1".to_owned(),
        filter: "r = await scripted_big(bytes=1000000)\nreturn [x[\"id\"] for x in r[\"rows\"] if x[\"state\"] == \"open\"]".to_owned(),
    });
    all
}

fn narrows(house: &House, language: &'static str) -> Contender {
    let python = language == "python";
    let pick = |ts: &str, py: &str| if python { py.to_owned() } else { ts.to_owned() };
    Contender {
        name: if python { "narrows python" } else { "narrows typescript" },
        tool: "run",
        rounds: 500,
        agent: opened(house.command(&["serve"])),
        extra: json!({"language": language}),
        noop: "1".to_owned(),
        sequential: pick(
            "for (let i = 0; i < 20; i++) await scripted.sleep({ms: 20}); return 1",
            "for i in range(20):\n    await scripted.sleep(ms=20)\n1",
        ),
        parallel: pick(
            "await Promise.all(Array.from({length: 20}, () => scripted.sleep({ms: 20}))); return 1",
            "import asyncio\nawait asyncio.gather(*[scripted.sleep(ms=20) for i in range(20)])\n1",
        ),
        filter: pick(
            "return (await scripted.big({bytes: 1000000})).rows.filter(r => r.state === 'open').map(r => r.id)",
            "r = await scripted.big(bytes=1000000)\n[x['id'] for x in r['rows'] if x['state'] == 'open']",
        ),
    }
}

fn opened(command: Command) -> Agent {
    let mut agent = Agent::start(command);
    agent.initialize();
    agent.request("tools/list", &json!({}));
    agent
}

/// Milliseconds of one call of the code tool.
fn once(contender: &mut Contender, code: &str) -> f64 {
    let mut arguments = contender.extra.clone();
    arguments["code"] = json!(code);
    let start = Instant::now();
    let result = contender.agent.tool(contender.tool, &arguments);
    let ms = start.elapsed().as_secs_f64() * 1e3;
    assert_ne!(result["isError"], true, "{}: {result:#}", contender.name);
    ms
}

fn times(contender: &mut Contender, code: &str, rounds: usize) -> Vec<f64> {
    after(Duration::ZERO, contender, code, rounds)
}

/// The same, each after a pause, as a model's calls come.
fn after(pause: Duration, contender: &mut Contender, code: &str, rounds: usize) -> Vec<f64> {
    once(contender, code);
    let one = |_| {
        std::thread::sleep(pause);
        once(contender, code)
    };
    let mut times: Vec<f64> = (0..rounds).map(one).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

fn measure(contender: &mut Contender, direct: (f64, f64), table: &mut String) {
    let (noop, sequential) = (contender.noop.clone(), contender.sequential.clone());
    let (parallel, filter) = (contender.parallel.clone(), contender.filter.clone());
    let spaced = after(Duration::from_millis(10), contender, &noop, 100);
    let noop = times(contender, &noop, contender.rounds);
    let sequential = times(contender, &sequential, 3);
    let parallel = times(contender, &parallel, 10);
    let filter = times(contender, &filter, 10);
    let p = |t: &[f64]| quantile(t, 0.5);
    writeln!(
        table,
        "{:20} no-op min {:.2} p50 {:.2} p99 {:.2} ms, after a pause of 10 ms p50 {:.2} p99 {:.2} | 20 sequential {:.1} ms ({:.2}x direct) | 20 parallel {:.1} ms ({:.2}x direct) | 1 MB filtered {:.1} ms",
        contender.name,
        noop[0],
        p(&noop),
        quantile(&noop, 0.99),
        p(&spaced),
        quantile(&spaced, 0.99),
        p(&sequential),
        p(&sequential) / direct.1,
        p(&parallel),
        p(&parallel) / direct.0,
        p(&filter),
    )
    .unwrap();
}

/// A client that calls the upstream itself: 20 parallel and 20 sequential 20 ms calls.
fn direct() -> (f64, f64) {
    let mut agent = opened(Command::new(binary("scripted-upstream")));
    let mut parallel = Vec::new();
    for round in 0..10 {
        let start = Instant::now();
        for i in 0..20 {
            let id = format!("{round}-{i}");
            let params = json!({"name": "sleep", "arguments": {"ms": 20}});
            agent.line(
                &json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
                    .to_string(),
            );
        }
        for _ in 0..20 {
            agent.read();
        }
        parallel.push(start.elapsed().as_secs_f64() * 1e3);
    }
    parallel.sort_by(f64::total_cmp);
    let start = Instant::now();
    for _ in 0..20 {
        agent.tool("sleep", &json!({"ms": 20}));
    }
    (quantile(&parallel, 0.5), start.elapsed().as_secs_f64() * 1e3)
}

/// Runs with one call each, sixteen under way at once, for five seconds.
fn throughput(house: &House, table: &mut String) {
    let mut agent = opened(house.command(&["serve"]));
    let code = "return (await scripted.echo({text: 'a'})).echo";
    let send = |agent: &mut Agent, id: u64| {
        let params = json!({"name": "run", "arguments": {"code": code}});
        agent.line(
            &json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
                .to_string(),
        );
    };
    for id in 0..16 {
        send(&mut agent, id);
    }
    let pid = agent.child.id();
    let used = || (cpu_us(pid), zygotes(pid).into_iter().map(cpu_us).sum::<f64>());
    let before = used();
    let (start, mut done, mut latest) = (Instant::now(), 0_u64, 16);
    while start.elapsed() < Duration::from_secs(5) {
        let answer = agent.read();
        assert_eq!(answer["result"]["structuredContent"]["value"], "a", "{answer:#}");
        done += 1;
        send(&mut agent, latest);
        latest += 1;
    }
    let rate = done as f64 / start.elapsed().as_secs_f64();
    let after = used();
    let (gateway, workers) =
        ((after.0 - before.0) / done as f64, (after.1 - before.1) / done as f64);
    writeln!(
        table,
        "runs per second with one call each, 16 at once: {rate:.0} \
         (processor time of a run: gateway {gateway:.0} us, zygote and worker {workers:.0} us)"
    )
    .unwrap();
}

/// Resident memory: idle over every saved tool list, and before and after 10,000 runs.
fn memory(table: &mut String) {
    let lists = repository().join("../shared/data/tools");
    let mut servers = serde_json::Map::new();
    for entry in std::fs::read_dir(lists).into_iter().flatten().flatten() {
        let (path, name) =
            (entry.path(), entry.path().file_stem().unwrap().to_string_lossy().into_owned());
        if name != "manifest" {
            servers.insert(name, scripted(&["--serve-list", &path.to_string_lossy()]));
        }
    }
    servers.insert("scripted".to_owned(), scripted(&[]));
    let house = House::new(&Value::Object(servers));
    house.json(&["tools", "--json"]);
    let mut agent = opened(house.command(&["serve"]));
    agent.tool("search", &json!({"query": "list issues"}));
    std::thread::sleep(Duration::from_secs(1));
    writeln!(
        table,
        "RSS idle with every saved tool list: {:.1} MB; with the zygotes and workers, what they share \
         counted once: {:.1} MB",
        rss(agent.child.id()),
        share(agent.child.id()) + zygotes(agent.child.id()).into_iter().map(share).sum::<f64>()
    )
    .unwrap();
    let run = |agent: &mut Agent, count: usize| {
        for _ in 0..count {
            agent.run("typescript", "return (await scripted.echo({text: 'a'})).echo");
        }
    };
    let mut sizes = Vec::new();
    // The allocator and the store's cache find their size within the first ten thousand.
    for count in [1_000, 10_000, 10_000] {
        run(&mut agent, count);
        sizes.push(rss(agent.child.id()));
    }
    writeln!(
        table,
        "RSS after 1,000 runs {:.1} MB, after 11,000 {:.1} MB, after 21,000 {:.1} MB",
        sizes[0], sizes[1], sizes[2]
    )
    .unwrap();
}

/// Megabytes resident.
fn rss(pid: u32) -> f64 {
    megabytes(pid, "status", "VmRSS:")
}

/// Megabytes resident, what several processes share divided among them.
fn share(pid: u32) -> f64 {
    megabytes(pid, "smaps_rollup", "Pss:")
}

fn megabytes(pid: u32, file: &str, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap_or_default();
    let kb: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    kb / 1024.0
}

/// Processor time of a process and of the children that it has buried, in microseconds.
fn cpu_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    // utime, stime, cutime and cstime in ticks of 10 ms; the state is the first field here.
    let ticks = fields.split_whitespace().skip(11).take(4).filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() * 1e4
}

/// The processes that workers are forked from, and those that they are forked from.
fn zygotes(pid: u32) -> Vec<u32> {
    let children = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    children
        .flat_map(|task| {
            let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            list.split_whitespace().filter_map(|p| p.parse::<u32>().ok()).collect::<Vec<_>>()
        })
        .filter(|child| {
            let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("worker")
        })
        .flat_map(|child| std::iter::once(child).chain(zygotes(child)))
        .collect()
}
