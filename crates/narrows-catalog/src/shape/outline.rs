//! Keys, lengths and types of a value that does not fit.

use super::piece::Piece;

/// Nesting that is told.
const DEPTH_MAX: usize = 4;
/// Members of one object that are told.
const KEYS_MAX: usize = 16;
/// Items that are compared to tell what all items of an array have.
const SAMPLES_MAX: usize = 40;
/// Texts up to here are told without their length.
const TEXT_SHORT: usize = 40;

/// The shape of a value: `{issues: [312 x {id: number, title: string(<=120)}], total: number}`.
pub(super) fn outline(piece: &Piece) -> String {
    of(&[piece], 0)
}

/// What several values have in common; different kinds are told apart by `|`.
fn of(samples: &[&Piece], depth: usize) -> String {
    let mut kinds: Vec<&'static str> = Vec::new();
    for kind in samples.iter().map(|p| kind(p)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let parts: Vec<String> = kinds
        .iter()
        .map(|wanted| {
            let same: Vec<&Piece> =
                samples.iter().filter(|p| kind(p) == *wanted).copied().collect();
            match *wanted {
                "string" => text(&same),
                "array" => array(&same, depth),
                "object" => object(&same, depth),
                scalar => scalar.to_owned(),
            }
        })
        .collect();
    parts.join("|")
}

fn kind(piece: &Piece) -> &'static str {
    match piece {
        Piece::Null => "null",
        Piece::Boolean(_) => "boolean",
        Piece::Number(_) => "number",
        Piece::Text(..) => "string",
        Piece::Array(..) => "array",
        Piece::Object(..) => "object",
    }
}

fn text(samples: &[&Piece]) -> String {
    let length = |p: &&Piece| if let Piece::Text(_, bytes) = p { *bytes } else { 0 };
    match samples.iter().map(length).max() {
        Some(longest) if longest > TEXT_SHORT && samples.len() > 1 => {
            format!("string(<={longest})")
        }
        Some(longest) if longest > TEXT_SHORT => format!("string({longest})"),
        _ => "string".to_owned(),
    }
}

fn array(samples: &[&Piece], depth: usize) -> String {
    let mut items: Vec<&Piece> = Vec::new();
    let (mut least, mut most) = (usize::MAX, 0);
    for piece in samples {
        if let Piece::Array(read, count) = piece {
            items.extend(read.iter().take(SAMPLES_MAX.saturating_sub(items.len())));
            least = least.min(*count);
            most = most.max(*count);
        }
    }
    let count = if least == most { most.to_string() } else { format!("{least}..{most}") };
    if most == 0 {
        return "[]".to_owned();
    }
    if items.is_empty() || depth >= DEPTH_MAX {
        return format!("[{count} items]");
    }
    format!("[{count} x {}]", of(&items, depth + 1))
}

fn object(samples: &[&Piece], depth: usize) -> String {
    let mut keys: Vec<&str> = Vec::new();
    let (mut most, mut whole) = (0, true);
    for piece in samples {
        if let Piece::Object(members, count) = piece {
            most = most.max(*count);
            whole &= members.len() == *count;
            for (key, _) in members {
                if keys.len() <= KEYS_MAX && !keys.contains(&key.as_str()) {
                    keys.push(key);
                }
            }
        }
    }
    if depth >= DEPTH_MAX || (keys.is_empty() && most > 0) {
        return format!("{{{most} keys}}");
    }
    let mut parts: Vec<String> = keys
        .iter()
        .take(KEYS_MAX)
        .map(|key| {
            let values: Vec<&Piece> = samples.iter().filter_map(|p| member(p, key)).collect();
            let mark = if whole && values.len() < samples.len() { "?" } else { "" };
            format!("{}{mark}: {}", super::preview::name(key), of(&values, depth + 1))
        })
        .collect();
    let told = parts.len();
    if most > told {
        parts.push(format!("+{} keys", most - told));
    } else if keys.len() > told {
        parts.push("...".to_owned());
    }
    format!("{{{}}}", parts.join(", "))
}

fn member<'a>(piece: &'a Piece, key: &str) -> Option<&'a Piece> {
    let Piece::Object(members, _) = piece else { return None };
    members.iter().find(|(k, _)| k == key).map(|(_, value)| value)
}
