//! What is known of an expression's value before the program runs.

use super::place::Lines;
use narrows_types::{Argument, Literal};
use oxc_ast::ast::{
    Argument as Given, ArrayExpressionElement, Expression, ObjectExpression, ObjectPropertyKind,
    PropertyKey, PropertyKind, TemplateLiteral, UnaryOperator,
};
use oxc_span::GetSpan as _;
use serde_json::{Map, Value};

/// The arguments of a call.
pub(super) fn arguments(given: &[Given<'_>], lines: &Lines<'_>) -> Vec<Argument> {
    given
        .iter()
        .map(|argument| {
            let value = argument.as_expression().map(|value| literal(value, lines));
            let at = lines.at(argument.span().start);
            Argument { keyword: None, value: value.unwrap_or(Literal::Unknown), at }
        })
        .collect()
}

/// What is known of one expression. An object keeps the places of its keys, so only an empty one
/// is a plain constant.
pub(super) fn literal(expression: &Expression<'_>, lines: &Lines<'_>) -> Literal {
    let expression = bare(expression);
    if let Some(value) = constant(expression) {
        return Literal::Known(value);
    }
    match expression {
        Expression::ObjectExpression(object) => fields(object, lines),
        Expression::ArrayExpression(array) => {
            let open = array.elements.iter().any(ArrayExpressionElement::is_spread);
            // What follows a spread has no known place: leave it out.
            let known = array.elements.iter().take_while(|element| !element.is_spread());
            let items = known.map(|element| match element.as_expression() {
                Some(value) => literal(value, lines),
                None => Literal::Known(Value::Null),
            });
            Literal::Array { items: items.collect(), open }
        }
        _ => Literal::Unknown,
    }
}

fn fields(object: &ObjectExpression<'_>, lines: &Lines<'_>) -> Literal {
    let mut fields = Vec::with_capacity(object.properties.len());
    let mut open = false;
    for property in &object.properties {
        match property {
            ObjectPropertyKind::ObjectProperty(property)
                if property.kind == PropertyKind::Init && !property.method =>
            {
                match key(&property.key) {
                    Some(name) => {
                        let value = literal(&property.value, lines);
                        fields.push((name, value, lines.at(property.key.span().start)));
                    }
                    None => open = true,
                }
            }
            _ => open = true,
        }
    }
    Literal::Object { fields, open }
}

/// The constant name of a property.
pub(super) fn key(key: &PropertyKey<'_>) -> Option<String> {
    match key {
        PropertyKey::StaticIdentifier(name) => Some(name.name.to_string()),
        PropertyKey::PrivateIdentifier(_) => None,
        other => name(other.as_expression()?),
    }
}

/// The constant name that an expression between square brackets stands for.
pub(super) fn name(expression: &Expression<'_>) -> Option<String> {
    match bare(expression) {
        Expression::StringLiteral(text) => Some(text.value.to_string()),
        Expression::TemplateLiteral(template) => text(template),
        Expression::NumericLiteral(number) => Some(number.value.to_string()),
        _ => None,
    }
}

/// The expression without the type syntax around it.
pub(super) fn bare<'b, 'a>(mut expression: &'b Expression<'a>) -> &'b Expression<'a> {
    loop {
        expression = match expression {
            Expression::ParenthesizedExpression(inner) => &inner.expression,
            Expression::TSAsExpression(inner) => &inner.expression,
            Expression::TSSatisfiesExpression(inner) => &inner.expression,
            Expression::TSTypeAssertion(inner) => &inner.expression,
            Expression::TSNonNullExpression(inner) => &inner.expression,
            Expression::TSInstantiationExpression(inner) => &inner.expression,
            other => return other,
        }
    }
}

fn constant(expression: &Expression<'_>) -> Option<Value> {
    match bare(expression) {
        Expression::NullLiteral(_) => Some(Value::Null),
        Expression::BooleanLiteral(literal) => Some(Value::Bool(literal.value)),
        Expression::StringLiteral(literal) if !literal.lone_surrogates => {
            Some(Value::String(literal.value.to_string()))
        }
        Expression::TemplateLiteral(template) => text(template).map(Value::String),
        Expression::NumericLiteral(literal) => number(literal.value),
        Expression::UnaryExpression(unary) => match (unary.operator, bare(&unary.argument)) {
            (UnaryOperator::UnaryNegation, Expression::NumericLiteral(literal)) => {
                number(-literal.value)
            }
            (UnaryOperator::UnaryPlus, Expression::NumericLiteral(literal)) => {
                number(literal.value)
            }
            (UnaryOperator::LogicalNot, Expression::NumericLiteral(literal)) => {
                Some(Value::Bool(literal.value == 0.0))
            }
            _ => None,
        },
        Expression::ArrayExpression(array) => {
            let items = array.elements.iter().map(|element| constant(element.as_expression()?));
            items.collect::<Option<Vec<_>>>().map(Value::Array)
        }
        Expression::ObjectExpression(object) if object.properties.is_empty() => {
            Some(Value::Object(Map::new()))
        }
        _ => None,
    }
}

fn text(template: &TemplateLiteral<'_>) -> Option<String> {
    match template.quasis.as_slice() {
        [only] if template.expressions.is_empty() && !only.lone_surrogates => {
            only.value.cooked.map(|text| text.to_string())
        }
        _ => None,
    }
}

/// As `JSON.stringify` writes it: whole numbers without a fraction.
fn number(value: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Some(Value::from(value as i64));
    }
    serde_json::Number::from_f64(value).map(Value::Number)
}
