//! Programs that pile things up: each hears of a limit, and the gateway stays small.

use crate::house::{Agent, House, scripted};
use serde_json::json;

/// Far below what each of these programs would make an unbounded gateway hold, far above what a
/// debug build takes by itself.
const RSS_MB_MAX: u64 = 300;

fn rss_mb(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn agent(house: &House) -> Agent {
    let mut agent = house.agent();
    agent.initialize();
    agent
}

#[test]
fn arguments_do_not_pile_up() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut agent = agent(&house);
    let code = "
        const held = Array.from({length: 64}, () => scripted.sleep({ms: 1500}));
        const refused = new Set();
        const more = [];
        for (const [size, times] of [[3.5e6, 12], [6e6, 6]]) {
            const text = 'x'.repeat(size);
            for (let i = 0; i < times; i++) {
                more.push(scripted.echo({text}).then(() => 0, e => { refused.add(e.message.split(' (')[0]); }));
                await null;
            }
        }
        await Promise.allSettled([...held, ...more]);
        return [...refused];";
    let refused = agent.value("typescript", code).to_string();
    assert!(refused.contains("await some calls first"), "{refused}");
    assert!(refused.contains("send less at once"), "{refused}");
    assert!(rss_mb(&agent) < RSS_MB_MAX, "{} MB", rss_mb(&agent));
    assert_eq!(agent.value("python", "1 + 1"), 2);
}

#[test]
fn pictures_shown_and_searches_are_bounded() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut agent = agent(&house);
    let shown = agent.run("typescript", "for (let i = 0; i < 200; i++) show('x'.repeat(500)); 1");
    let texts = shown["content"].as_array().unwrap();
    assert!(texts.len() < 8, "{} blocks", texts.len());
    assert!(shown.to_string().contains("things shown were left out"), "{shown:#}");
    let code = "const all = await Promise.allSettled(Array.from({length: 30}, (_, i) => search('list ' + i)));
        return all.filter(s => s.status === 'rejected').map(s => s.reason.message).slice(0, 1)";
    let refused = agent.value("typescript", code).to_string();
    assert!(refused.contains("a run may search 20 times"), "{refused}");
}
