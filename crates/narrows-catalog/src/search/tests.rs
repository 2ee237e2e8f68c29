use super::{Doc, Index};
use serde_json::Value;
use std::path::Path;

struct Set {
    tools: Vec<Value>,
    queries: Vec<(String, Vec<String>)>,
}

fn load(name: &str) -> Option<Set> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/retrieval");
    let Ok(text) = std::fs::read_to_string(folder.join(format!("{name}.json"))) else {
        println!("../shared/data/retrieval/{name}.json is absent: recall is not measured");
        return None;
    };
    let value: Value = serde_json::from_str(&text).unwrap();
    let strings = |v: &Value| -> Vec<String> {
        v.as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
    };
    let queries = value["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|q| (q["query"].as_str().unwrap().to_owned(), strings(&q["gold"])))
        .collect();
    Some(Set { tools: value["tools"].as_array().unwrap().clone(), queries })
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

fn recall(set: &Set) -> f64 {
    let index = index(&set.tools);
    let mut sum = 0.0;
    for (query, gold) in &set.queries {
        let hits = index.search(std::slice::from_ref(query), |_| true, 5);
        let found: Vec<&str> = hits
            .iter()
            .map(|h| &set.tools[h.doc as usize])
            .flat_map(|t| {
                [t["id"].as_str().unwrap_or_default(), t["name"].as_str().unwrap_or_default()]
            })
            .collect();
        let right = gold.iter().filter(|g| found.contains(&g.as_str())).count();
        sum += f64::from(u32::try_from(right).unwrap())
            / f64::from(u32::try_from(gold.len()).unwrap());
    }
    sum / f64::from(u32::try_from(set.queries.len()).unwrap())
}

#[test]
fn recall_at_5_with_the_whole_sentence() {
    for (name, bar) in
        [("golden45", 0.72), ("bfcl_parallel_multiple", 0.92), ("bfcl_multiple", 0.95)]
    {
        let Some(set) = load(name) else { continue };
        let recall = recall(&set);
        println!("{name}: recall@5 {recall:.3}");
        assert!(recall >= bar, "{name}: recall@5 {recall:.3}, at least {bar}");
    }
}

#[test]
fn several_queries_are_merged() {
    let tools: Vec<Value> = ["send_email", "list_files", "get_weather"]
        .iter()
        .map(|n| serde_json::json!({"server": "x", "name": n, "inputSchema": {}}))
        .collect();
    let index = index(&tools);
    let queries = ["mail somebody".to_owned(), "weather forecast".to_owned()];
    let docs: Vec<u32> = index.search(&queries, |_| true, 5).iter().map(|h| h.doc).collect();
    assert_eq!(docs.len(), 2);
    assert!(docs.contains(&0) && docs.contains(&2));
    assert!(index.search(&queries, |doc| doc == 1, 5).is_empty());
}
