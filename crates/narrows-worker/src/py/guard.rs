//! Keeps hostile nesting away from the parser.
//!
//! The parser bounds its own recursion, but `a.b.c...` and `1+1+...` are built without recursion
//! into a tree as deep as they are long, and a tree is dropped and walked by recursion.

use narrows_types::{Finding, Position};
use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// The deepest expression, in operators and brackets.
const DEPTH_MAX: usize = 180;

/// Finds the first place where an expression is too deep. (The lexer keeps columns to itself, so
/// the place is a line.)
pub(super) fn too_deep(text: &str) -> Option<Finding> {
    let mut lexer = lexer::lex(text, Mode::Module);
    // One counter for each open bracket: how many operators its expression has chained so far.
    let mut chains = vec![0_usize];
    let (mut depth, mut line) = (0_usize, 1_u32);
    loop {
        let kind = lexer.next_token();
        let nested = chains.len() > 1;
        let top = chains.last_mut()?;
        match kind {
            TokenKind::EndOfFile => return None,
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                // A call or a subscript also lengthens the chain it stands in.
                *top += 1;
                chains.push(0);
                depth += 1;
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace if nested => {
                depth = depth.saturating_sub(chains.pop().unwrap_or(0));
                // What stands in braces is no link of a chain: f"{a}{b}{c}" is flat.
                if kind == TokenKind::Rbrace
                    && let Some(outer) = chains.last_mut()
                {
                    *outer = outer.saturating_sub(1);
                    depth = depth.saturating_sub(1);
                }
            }
            TokenKind::NonLogicalNewline => line = line.saturating_add(1),
            TokenKind::Comma | TokenKind::Newline | TokenKind::Semi | TokenKind::Equal => {
                depth = depth.saturating_sub(std::mem::take(top));
                line = line.saturating_add(u32::from(kind == TokenKind::Newline));
            }
            kind if deepens(kind) => {
                *top += 1;
                depth += 1;
            }
            _ => {}
        }
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels; use intermediate names");
            return Some(Finding { at: Position { line, column: 1 }, message });
        }
    }
}

fn deepens(kind: TokenKind) -> bool {
    use TokenKind::{
        Amper, At, Await, CircumFlex, Dot, DoubleSlash, DoubleStar, If, Lambda, LeftShift, Minus,
        Not, Percent, Plus, RightShift, Slash, Star, Tilde, Vbar,
    };
    matches!(
        kind,
        Dot | Plus
            | Minus
            | Star
            | Slash
            | Percent
            | DoubleSlash
            | DoubleStar
            | Vbar
            | Amper
            | CircumFlex
            | LeftShift
            | RightShift
            | At
            | Tilde
            | Not
            | Await
            | Lambda
            | If
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> bool {
        too_deep(text).is_some()
    }

    #[test]
    fn deep_text_is_found() {
        for text in [
            format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
            format!("x{}", ".a".repeat(100_000)),
            format!("x{}", "(1)".repeat(100_000)),
            format!("1{}", "+1".repeat(100_000)),
            format!("{}1", "-".repeat(100_000)),
            format!("{}1", "not ".repeat(100_000)),
            "[".repeat(100_000),
            format!("f'{}'", "{f'".repeat(300)),
        ] {
            let head: String = text.chars().take(30).collect();
            assert!(found(&text), "{head}");
        }
    }

    #[test]
    fn long_text_is_not_deep() {
        let list = format!("x = [{}]", "{'a': (1 + 2), 'b': f.g(3)}, ".repeat(2_000));
        let lines = "y = f(1).g[2] + 3\n".repeat(2_000);
        let string = format!("y = f'{}'", "{a}{b}".repeat(2_000));
        assert!(!found(&list) && !found(&lines) && !found(&string));
    }
}
