use serde_json::{json, Value};
use std::time::Instant;
fn main(){
  let which = std::env::args().nth(1).unwrap();
  let chain = |n: usize| { let mut d = serde_json::Map::new(); for i in 0..n { d.insert(format!("a{i}"), json!({"anyOf":[{"$ref":format!("#/$defs/a{}",i+1)},{"$ref":format!("#/$defs/a{}",i+1)}]})); } d.insert(format!("a{n}"), json!({"type":"string"})); json!({"$defs": d, "$ref":"#/$defs/a0"}) };
  let rec = json!({"$defs":{"n":{"anyOf":[{"properties":{"c":{"$ref":"#/$defs/n"}},"required":["x"]},{"properties":{"c":{"$ref":"#/$defs/n"}},"required":["y"]}]}},"$ref":"#/$defs/n"});
  let mut deep = json!({}); for _ in 0..40 { deep = json!({"c": deep}); }
  let (schema, inst): (Value, Value) = match which.as_str() {
    "self" => (json!({"$ref":"#"}), json!({})),
    "allself" => (json!({"allOf":[{"$ref":"#"}]}), json!({})),
    "propself" => (json!({"properties":{"a":{"$ref":"#/properties/a"}}}), json!({"a":1})),
    "pair" => (json!({"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"anyOf":[{"$ref":"#/$defs/a"}]}}}), json!({"a":1})),
    "not" => (json!({"not":{"$ref":"#"}}), json!({})),
    "dyn" => (json!({"$dynamicAnchor":"x","allOf":[{"$dynamicRef":"#x"}]}), json!({})),
    "if" => (json!({"if":{"$ref":"#"},"then":{}}), json!({})),
    "chain" => (chain(24), json!({})),
    "rec" => (rec, deep),
    "regex" => (json!({"pattern":"^(?=(a+)+$)b"}), json!("a".repeat(60))),
    "bigre" => (json!({"pattern":"((a{1,1000}){1,1000}){1,1000}"}), json!("a")),
    "uniq" => (json!({"uniqueItems":true}), Value::Array((0..100000).map(|i| json!({"a":i})).collect())),
    _ => panic!()
  };
  let t = Instant::now();
  let v = jsonschema::options().build(&schema);
  println!("build {:?} {:?}", t.elapsed(), v.as_ref().err().map(|e| e.to_string()));
  if let Ok(v) = v { let t = Instant::now(); let ok = v.is_valid(&inst); println!("valid {ok} {:?}", t.elapsed()); let t = Instant::now(); let n = v.iter_errors(&inst).take(3).count(); println!("errors {n} {:?}", t.elapsed()); }
}
