//! Names and members of names: what a program writes and what it means by it.

use super::literal::{self, bare};
use oxc_ast::ast::{
    BindingIdentifier, ChainElement, Expression, IdentifierReference, MemberExpression,
};
use oxc_semantic::{Scoping, SymbolId};
use oxc_syntax::reference::Reference;
use std::collections::HashMap;

/// Members of a name: `a.b["c"]`.
pub(super) struct Chain<'b, 'a> {
    /// The name.
    pub(super) root: &'b IdentifierReference<'a>,
    /// Its constant members, up to the first computed one.
    pub(super) path: Vec<String>,
    /// The path is all there is: no computed member follows it.
    pub(super) whole: bool,
    /// Optional chaining stands somewhere in it.
    pub(super) guarded: bool,
    /// The expressions of computed members.
    pub(super) computed: Vec<&'b Expression<'a>>,
}

/// What a local name stands for: a free name and members of it.
pub(super) type Alias = (String, Vec<String>);

/// What a program's names stand for.
pub(super) struct Names<'r> {
    scoping: &'r Scoping,
    aliases: HashMap<SymbolId, Alias>,
}

impl<'r> Names<'r> {
    pub(super) fn new(scoping: &'r Scoping) -> Self {
        Self { scoping, aliases: HashMap::new() }
    }

    /// The program's own name that is meant here.
    pub(super) fn symbol(&self, name: &IdentifierReference<'_>) -> Option<SymbolId> {
        let reference = name.reference_id.get().map(|id| self.scoping.get_reference(id));
        reference.and_then(Reference::symbol_id)
    }

    /// What a name and members of it stand for, if the program does not define it.
    pub(super) fn free(&self, root: &IdentifierReference<'_>, path: &[String]) -> Option<Alias> {
        let Some(symbol) = self.symbol(root) else {
            return Some((root.name.to_string(), path.to_vec()));
        };
        let (name, members) = self.aliases.get(&symbol)?;
        let path = members.iter().chain(path).cloned().collect();
        Some((name.clone(), path))
    }

    /// A name that keeps its first value stands for something from now on.
    pub(super) fn give(&mut self, name: &BindingIdentifier<'_>, alias: Alias) {
        if let Some(symbol) = self.constant(name) {
            self.aliases.insert(symbol, alias);
        }
    }

    /// The symbol of a name that keeps its first value.
    pub(super) fn constant(&self, name: &BindingIdentifier<'_>) -> Option<SymbolId> {
        name.symbol_id.get().filter(|symbol| !self.scoping.symbol_is_mutated(*symbol))
    }
}

/// Reads `a.b["c"]` from its end to its root.
pub(super) fn chain<'b, 'a>(expression: &'b Expression<'a>) -> Option<Chain<'b, 'a>> {
    let mut at = bare(expression);
    let (mut path, mut whole, mut guarded) = (Vec::new(), true, false);
    let mut computed = Vec::new();
    let root = loop {
        let (object, name) = match at {
            Expression::Identifier(root) => break root,
            Expression::ChainExpression(inner) => {
                guarded = true;
                match &inner.expression {
                    ChainElement::TSNonNullExpression(inner) => {
                        at = bare(&inner.expression);
                        continue;
                    }
                    element => member(element.as_member_expression()?, &mut guarded),
                }
            }
            other => member(other.as_member_expression()?, &mut guarded),
        };
        match name {
            Ok(name) => path.push(name),
            Err(expression) => {
                path.clear();
                whole = false;
                computed.extend(expression);
            }
        }
        at = bare(object);
    };
    path.reverse();
    Some(Chain { root, path, whole, guarded, computed })
}

/// A constant name, or a computed one.
type Name<'b, 'a> = Result<String, Option<&'b Expression<'a>>>;

fn member<'b, 'a>(
    member: &'b MemberExpression<'a>,
    guarded: &mut bool,
) -> (&'b Expression<'a>, Name<'b, 'a>) {
    match member {
        MemberExpression::StaticMemberExpression(member) => {
            *guarded |= member.optional;
            (&member.object, Ok(member.property.name.to_string()))
        }
        MemberExpression::ComputedMemberExpression(member) => {
            *guarded |= member.optional;
            let name = literal::name(&member.expression).ok_or(Some(&member.expression));
            (&member.object, name)
        }
        MemberExpression::PrivateFieldExpression(member) => (&member.object, Err(None)),
    }
}
