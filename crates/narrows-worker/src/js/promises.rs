//! A tool's promise that is used as if it were the result: `await` is missing.
//!
//! Only what can never be meant is found: a promise has no members but `then`, `catch` and
//! `finally`, and nothing that can be taken apart, looped over, spread, added or tested.

use super::literal::bare;
use super::names::{Names, chain};
use super::place::Lines;
use super::strip::FINDINGS_MAX;
use narrows_types::Finding;
use oxc_ast::ast::{
    BinaryExpression, BinaryOperator, BindingPattern, CallExpression, ChainElement,
    ComputedMemberExpression, ConditionalExpression, Expression, ForOfStatement,
    IdentifierReference, IfStatement, Program, SpreadElement, StaticMemberExpression,
    TemplateLiteral, UnaryExpression, UnaryOperator, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_semantic::SymbolId;
use oxc_span::{GetSpan as _, Span};
use std::collections::{HashMap, HashSet};

/// Functions of the prelude that give promises.
const ASKING: [&str; 2] = ["search", "artifact"];

/// The members that a promise has.
const MEMBERS: [&str; 3] = ["then", "catch", "finally"];

/// Finds every such use.
pub(super) fn find(
    program: &Program<'_>,
    names: &Names<'_>,
    lines: &Lines<'_>,
    globals: &HashSet<String>,
) -> Vec<Finding> {
    let mut reader =
        Reader { names, lines, globals, promises: HashMap::new(), findings: Vec::new() };
    reader.visit_program(program);
    reader.findings
}

struct Reader<'r> {
    names: &'r Names<'r>,
    lines: &'r Lines<'r>,
    globals: &'r HashSet<String>,
    /// Names that hold a promise, with the call that gave it.
    promises: HashMap<SymbolId, String>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    /// The call that gives a tool's promise, as the program writes it.
    fn called(&self, call: &CallExpression<'_>) -> Option<String> {
        let chain = chain(&call.callee)?;
        let (root, path) = self.names.free(chain.root, &chain.path)?;
        let tool = if root == "tools" {
            path.len() >= 2 || !chain.whole
        } else if path.is_empty() && chain.whole {
            ASKING.contains(&root.as_str())
        } else {
            !self.globals.contains(&root)
        };
        tool.then(|| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let dots = if chain.whole { "" } else { "[...]" };
            [[&[root.as_str()], path.as_slice()].concat().join("."), dots.to_owned()].concat()
        })
    }

    /// The call whose promise an expression is.
    fn promise(&self, expression: &Expression<'_>) -> Option<String> {
        match bare(expression) {
            Expression::CallExpression(call) => self.called(call),
            Expression::ChainExpression(chain) => match &chain.expression {
                ChainElement::CallExpression(call) => self.called(call),
                _ => None,
            },
            Expression::Identifier(name) => self.held(name).cloned(),
            _ => None,
        }
    }

    fn held(&self, name: &IdentifierReference<'_>) -> Option<&String> {
        self.promises.get(&self.names.symbol(name)?)
    }

    /// An expression stands where only a result makes sense.
    fn wants_result(&mut self, expression: &Expression<'_>) {
        if let Some(call) = self.promise(expression) {
            self.report(expression.span(), &call);
        }
    }

    fn report(&mut self, span: Span, call: &str) {
        if self.findings.len() < FINDINGS_MAX {
            let message =
                format!("await is missing: {call}(...) gives a promise; write await {call}(...)");
            self.findings.push(Finding { at: self.lines.at(span.start), message });
        }
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        if let Some(init) = &it.init
            && let Some(call) = self.promise(init)
        {
            match &it.id {
                BindingPattern::BindingIdentifier(name) => {
                    if let Some(symbol) = self.names.constant(name) {
                        self.promises.insert(symbol, call);
                    }
                }
                _ => self.report(init.span(), &call),
            }
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        if !MEMBERS.contains(&it.property.name.as_str()) {
            self.wants_result(&it.object);
        }
        walk::walk_static_member_expression(self, it);
    }

    fn visit_computed_member_expression(&mut self, it: &ComputedMemberExpression<'a>) {
        self.wants_result(&it.object);
        walk::walk_computed_member_expression(self, it);
    }

    fn visit_for_of_statement(&mut self, it: &ForOfStatement<'a>) {
        self.wants_result(&it.right);
        walk::walk_for_of_statement(self, it);
    }

    fn visit_spread_element(&mut self, it: &SpreadElement<'a>) {
        self.wants_result(&it.argument);
        walk::walk_spread_element(self, it);
    }

    fn visit_template_literal(&mut self, it: &TemplateLiteral<'a>) {
        for expression in &it.expressions {
            self.wants_result(expression);
        }
        walk::walk_template_literal(self, it);
    }

    fn visit_binary_expression(&mut self, it: &BinaryExpression<'a>) {
        if it.operator != BinaryOperator::Instanceof {
            self.wants_result(&it.left);
            self.wants_result(&it.right);
        }
        walk::walk_binary_expression(self, it);
    }

    fn visit_unary_expression(&mut self, it: &UnaryExpression<'a>) {
        use UnaryOperator::{BitwiseNot, LogicalNot, UnaryNegation, UnaryPlus};
        if matches!(it.operator, BitwiseNot | LogicalNot | UnaryNegation | UnaryPlus) {
            self.wants_result(&it.argument);
        }
        walk::walk_unary_expression(self, it);
    }

    fn visit_if_statement(&mut self, it: &IfStatement<'a>) {
        // A name may hold a promise or nothing, but a call always gives a promise.
        if !matches!(bare(&it.test), Expression::Identifier(_)) {
            self.wants_result(&it.test);
        }
        walk::walk_if_statement(self, it);
    }

    fn visit_conditional_expression(&mut self, it: &ConditionalExpression<'a>) {
        if !matches!(bare(&it.test), Expression::Identifier(_)) {
            self.wants_result(&it.test);
        }
        walk::walk_conditional_expression(self, it);
    }
}
