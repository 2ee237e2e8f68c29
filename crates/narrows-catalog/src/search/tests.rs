use super::words::{alike, clauses, neighbours};
use super::{Doc, Index};
use serde_json::{Value, json};
use std::path::Path;

struct Set {
    tools: Vec<Value>,
    queries: Vec<Query>,
}

struct Query {
    kind: String,
    text: String,
    gold: Vec<String>,
}

fn queries(list: &Value) -> Vec<Query> {
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let query = |q: &Value| Query {
        kind: word(&q["kind"]),
        text: word(&q["query"]),
        gold: q["gold"].as_array().unwrap().iter().map(word).collect(),
    };
    list.as_array().unwrap().iter().map(query).collect()
}

/// The whole of a file of measured data; none where this machine has no such data.
fn shared(path: &str) -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("{} is absent: its recall is not measured", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn index(tools: &[Value]) -> Index {
    Index::build(tools.iter().map(|t| Doc {
        server: t["server"].as_str().unwrap_or_default(),
        name: t["name"].as_str().unwrap_or_default(),
        title: t["title"].as_str(),
        description: t["description"].as_str(),
        input_schema: &t["inputSchema"],
    }))
}

/// The part of the right tools that is among the first five, over all queries of a kind.
fn recall(set: &Set, kind: &str) -> f64 {
    let index = index(&set.tools);
    let (mut sum, mut count) = (0.0, 0.0);
    for query in set.queries.iter().filter(|q| q.kind == kind) {
        let hits = index.search(std::slice::from_ref(&query.text), |_| true, 5);
        let found: Vec<&str> = hits
            .iter()
            .map(|h| &set.tools[h.doc as usize])
            .flat_map(|t| [t["id"].as_str(), t["name"].as_str()])
            .flatten()
            .collect();
        let right = query.gold.iter().filter(|g| found.contains(&g.as_str())).count();
        sum += f64::from(u32::try_from(right).unwrap())
            / f64::from(u32::try_from(query.gold.len()).unwrap());
        count += 1.0;
    }
    sum / count
}

fn assert_recall(name: &str, recall: f64, bar: f64) {
    println!("{name}: recall@5 {recall:.3} (bar {bar})");
    assert!(recall >= bar, "{name}: recall@5 {recall:.3}, at least {bar}");
}

#[test]
fn recall_over_our_own_fixture() {
    let set: Value = serde_json::from_str(include_str!("../../fixtures/retrieval.json")).unwrap();
    let set =
        Set { tools: set["tools"].as_array().unwrap().clone(), queries: queries(&set["queries"]) };
    assert_recall("fixtures/retrieval", recall(&set, ""), 0.9);
}

#[test]
fn recall_with_the_whole_sentence() {
    for (name, bar) in
        [("golden45", 0.80), ("bfcl_parallel_multiple", 0.93), ("bfcl_multiple", 0.95)]
    {
        let Some(set) = shared(&format!("retrieval/{name}.json")) else { continue };
        let tools = set["tools"].as_array().unwrap().clone();
        let set = Set { tools, queries: queries(&set["queries"]) };
        assert_recall(name, recall(&set, ""), bar);
    }
}

/// Every tool of the saved lists, with the server as part of its id.
fn corpus() -> Option<Vec<Value>> {
    let manifest = shared("tools/manifest.json")?;
    let mut all = Vec::new();
    for server in manifest["servers"].as_array().unwrap() {
        let server = server["server"].as_str().unwrap();
        let Some(list) = shared(&format!("tools/{server}.json")) else { continue };
        for tool in list["tools"].as_array().unwrap() {
            let mut tool = tool.clone();
            tool["id"] = format!("{server}:{}", tool["name"].as_str().unwrap()).into();
            tool["server"] = server.into();
            all.push(tool);
        }
    }
    Some(all)
}

#[test]
fn recall_of_everyday_requests_among_1576_tools() {
    let Some(tools) = corpus() else { return };
    let list: Value = serde_json::from_str(include_str!("../../fixtures/tasks.json")).unwrap();
    let set = Set { tools, queries: queries(&list) };
    assert_recall("phrases", recall(&set, "phrase"), 0.66);
    assert_recall("tasks of several steps", recall(&set, "task"), 0.44);
}

fn named(names: &[&str]) -> Vec<Value> {
    names.iter().map(|n| json!({"server": "x", "name": n, "inputSchema": {}})).collect()
}

#[test]
fn several_queries_are_merged() {
    let index = index(&named(&["send_email", "list_files", "get_weather"]));
    let queries = ["mail somebody".to_owned(), "weather forecast".to_owned()];
    let docs: Vec<u32> = index.search(&queries, |_| true, 5).iter().map(|h| h.doc).collect();
    assert_eq!(docs.len(), 2);
    assert!(docs.contains(&0) && docs.contains(&2));
    assert!(index.search(&queries, |doc| doc == 1, 5).is_empty());
}

#[test]
fn names_are_taken_apart_however_they_are_written() {
    let index = index(&named(&["get-weather", "sendHTTPRequest", "list_open_files", "x2y"]));
    for (query, doc) in [("weather", 0), ("http", 1), ("open files", 2), ("listing files", 2)] {
        let hits = index.search(&[query.to_owned()], |_| true, 1);
        assert_eq!(hits.first().map(|h| h.doc), Some(doc), "{query}");
    }
}

#[test]
fn hostile_input_costs_little_and_finds_nothing() {
    let mut schema = json!({});
    for _ in 0..100 {
        schema = json!({"properties": {"deep": schema}});
    }
    let name = "n".repeat(100_000);
    let tool =
        json!({"server": "s", "name": name, "description": "\u{0}\u{202e}", "inputSchema": schema});
    let index = index(&[tool]);
    for query in ["", " \n", "\u{0}", "the of a", &"and ".repeat(100_000), &"é".repeat(5_000)] {
        assert!(index.search(&[query.to_owned()], |_| true, 5).is_empty(), "{query:.20}");
    }
    assert!(index.search(&[], |_| true, 5).is_empty());
    assert!(Index::default().search(&["x".to_owned()], |_| true, 5).is_empty());
    let many = vec!["deep".to_owned(); 10_000];
    assert_eq!(index.search(&many, |_| true, 5).len(), 1);
    assert!(index.search(&many, |_| true, 0).is_empty());
}

#[test]
fn words_that_no_tool_says_still_find() {
    let index = index(&named(&["get_weather", "list_containers", "send_invoice"]));
    // A synonym, a typing error, an unfinished word.
    for (query, doc) in [("climate", 0), ("wether", 0), ("contaners", 1), ("invoi", 2)] {
        let hits = index.search(&[query.to_owned()], |_| true, 1);
        assert_eq!(hits.first().map(|h| h.doc), Some(doc), "{query}");
    }
    assert!(index.search(&["zzzz".to_owned()], |_| true, 1).is_empty());
}

/// Each word that is compared with every term costs a walk over all of them.
#[test]
fn a_search_compares_so_many_strange_words_and_each_once() {
    let index = index(&named(&["get_weather"]));
    let strange = |from: u8, to: u8| -> String {
        (from..to).flat_map(|c| [char::from(c), 'q', 'q', 'q', 'q', ' ']).collect()
    };
    let same: Vec<String> = (0..15).map(|_| strange(b'a', b'j')).collect();
    let found = |queries: &[String]| {
        let last = ["wether".to_owned()];
        !index.search(&[queries, &last].concat(), |_| true, 1).is_empty()
    };
    assert!(found(&same), "the same words are compared once");
    assert!(!found(&[strange(b'a', b'j'), strange(b'j', b'r')]), "sixteen others came first");
}

#[test]
fn nearly_the_same_spelling_is_one_letter_away() {
    for (word, other) in
        [("wether", "weather"), ("weather", "wether"), ("wexther", "wecther"), ("cont", "contain")]
    {
        assert!(alike(word, other), "{word} {other}");
    }
    for (word, other) in
        [("cat", "car"), ("weather", "leather"), ("abcdef", "abdcef"), ("éa", "éé")]
    {
        assert!(!alike(word, other), "{word} {other}");
    }
}

#[test]
fn the_lists_of_words_are_as_the_code_reads_them() {
    let lines: Vec<&str> =
        include_str!("neighbours.txt").lines().filter(|l| !l.starts_with('#')).collect();
    assert!(lines.is_sorted_by_key(|l| l.split(' ').next()));
    assert_eq!(neighbours("abnorm").collect::<Vec<_>>(), ["diagnosi", "diagnost", "anomali"]);
    assert_eq!(neighbours("").count() + neighbours("no such word").count(), 0);
}

#[test]
fn a_sentence_is_taken_apart_where_it_asks_for_more() {
    let parts = clauses("Read the file, then send its content to Bob and delete it. Thanks!");
    assert_eq!(parts, [vec!["read", "file"], vec!["send", "content", "bob", "delet", "thank"]]);
    assert_eq!(clauses("a, b, c").len(), 1);
    assert_eq!(clauses(&"read file. ".repeat(100)).len(), 12);
}
