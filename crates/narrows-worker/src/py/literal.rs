//! What is known of an expression's value before the program runs.

use narrows_types::{Argument, Literal};
use ruff_python_ast::{Arguments, Expr, FStringPart, Number, UnaryOp};
use ruff_text_size::Ranged;
use serde_json::{Map, Value};

use super::source::Lines;

/// The arguments of a call, positional ones first.
pub(super) fn arguments(arguments: &Arguments, lines: &Lines) -> Vec<Argument> {
    let positional = arguments.args.iter().map(|argument| {
        let at = lines.at(argument.start());
        let value = match argument {
            Expr::Starred(_) => Literal::Unknown,
            other => literal(other, lines),
        };
        Argument { keyword: None, value, at }
    });
    let keywords = arguments.keywords.iter().map(|keyword| {
        let name = keyword.arg.as_ref().map_or("", |name| name.as_str());
        let value = literal(&keyword.value, lines);
        let at = lines.at(keyword.start());
        Argument { keyword: Some(name.to_owned()), value, at }
    });
    positional.chain(keywords).collect()
}

/// What is known of one expression.
pub(super) fn literal(expr: &Expr, lines: &Lines) -> Literal {
    if let Some(value) = constant(expr) {
        return Literal::Known(value);
    }
    match expr {
        Expr::List(list) => items(&list.elts, lines),
        Expr::Tuple(tuple) => items(&tuple.elts, lines),
        Expr::Dict(dict) => {
            let mut open = false;
            let mut fields = Vec::with_capacity(dict.items.len());
            for item in &dict.items {
                match &item.key {
                    Some(Expr::StringLiteral(key)) => fields.push((
                        key.value.to_str().to_owned(),
                        literal(&item.value, lines),
                        lines.at(key.start()),
                    )),
                    _ => open = true,
                }
            }
            Literal::Object { fields, open }
        }
        _ => Literal::Unknown,
    }
}

fn items(elements: &[Expr], lines: &Lines) -> Literal {
    let open = elements.iter().any(Expr::is_starred_expr);
    // What follows a starred item has no known place: leave it out.
    let known = elements.iter().take_while(|element| !element.is_starred_expr());
    Literal::Array { items: known.map(|element| literal(element, lines)).collect(), open }
}

fn constant(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::NoneLiteral(_) => Some(Value::Null),
        Expr::BooleanLiteral(literal) => Some(Value::Bool(literal.value)),
        Expr::StringLiteral(literal) => Some(Value::String(literal.value.to_str().to_owned())),
        Expr::NumberLiteral(literal) => number(&literal.value, false),
        Expr::UnaryOp(unary) if unary.op == UnaryOp::USub => match unary.operand.as_ref() {
            Expr::NumberLiteral(literal) => number(&literal.value, true),
            _ => None,
        },
        Expr::FString(string) => {
            let mut text = String::new();
            for part in &string.value {
                match part {
                    FStringPart::Literal(literal) => text.push_str(literal.as_str()),
                    FStringPart::FString(part) => {
                        for element in &part.elements {
                            text.push_str(&element.as_literal()?.value);
                        }
                    }
                }
            }
            Some(Value::String(text))
        }
        Expr::List(list) => {
            list.elts.iter().map(constant).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        Expr::Tuple(tuple) => {
            tuple.elts.iter().map(constant).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        // An object keeps the places of its keys, so only an empty one is a plain constant.
        Expr::Dict(dict) if dict.items.is_empty() => Some(Value::Object(Map::new())),
        _ => None,
    }
}

fn number(number: &Number, negative: bool) -> Option<Value> {
    match number {
        Number::Int(int) => match int.as_u64() {
            Some(value) if !negative => Some(Value::from(value)),
            Some(value) => i64::try_from(-i128::from(value)).ok().map(Value::from),
            None => None,
        },
        Number::Float(value) => {
            let value = if negative { -value } else { *value };
            serde_json::Number::from_f64(value).map(Value::Number)
        }
        Number::Complex { .. } => None,
    }
}
