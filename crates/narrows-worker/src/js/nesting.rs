//! Refuses a program that nests so deeply that reading it would need more stack than there is.
//!
//! The parser and every pass over its tree call themselves once for each level. The depth of a
//! tree cannot exceed what stands open before any place: brackets, and the operators and keywords
//! since the last separator within each. This counts those, with a lexer that is only exact enough
//! for counting: where it is wrong, it counts too much, or a worker dies of its own program.

/// Brackets, operators and keywords that may stand open at one place.
const OPEN_MAX: u32 = 1_000;

/// Words after which an expression or a statement goes on.
const GOING_ON: [&str; 26] = [
    "as",
    "async",
    "await",
    "case",
    "class",
    "delete",
    "do",
    "else",
    "extends",
    "finally",
    "for",
    "function",
    "if",
    "in",
    "instanceof",
    "is",
    "keyof",
    "new",
    "of",
    "return",
    "satisfies",
    "throw",
    "typeof",
    "void",
    "while",
    "yield",
];

/// Where a program that nests too deeply does so, as a byte offset.
pub(super) fn too_deep(code: &str) -> Option<u32> {
    let mut scan = Scan { text: code.as_bytes(), at: 0, levels: Vec::new(), open: 0, count: 0 };
    scan.levels.push(Level::default());
    let mut before = Before::Operator;
    let mut newline = false;
    while let Some(byte) = scan.text.get(scan.at).copied() {
        match byte {
            b'\n' | b'\r' => {
                newline = true;
                scan.at += 1;
                continue;
            }
            _ if byte.is_ascii_whitespace() => {
                scan.at += 1;
                continue;
            }
            b'/' if scan.comment() => continue,
            _ => {}
        }
        before = scan.token(byte, before, newline);
        newline = false;
        if scan.open > OPEN_MAX {
            return u32::try_from(scan.at).ok();
        }
    }
    None
}

/// What stood before a token.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Something that ends an expression: after a line break a new statement may begin.
    Value,
    /// A `}`: a new statement may begin at once.
    Brace,
    /// Anything after which the same construct goes on.
    Operator,
}

/// One open bracket, or the program.
#[derive(Default)]
struct Level {
    /// Operators and keywords since the last separator.
    count: u32,
    /// `<` that no `>` has closed.
    angles: u32,
    /// The bracket belongs to `if`, `for`, `while`: what follows it goes on.
    head: bool,
    /// It is the `${` of a template.
    template: bool,
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    /// The sum over all levels, and one for each level.
    open: u32,
    /// Set by a keyword whose bracket is a head.
    count: u32,
}

impl Scan<'_> {
    /// Takes one token and says what stands before the next one.
    fn token(&mut self, byte: u8, before: Before, newline: bool) -> Before {
        let expects_value = before == Before::Operator;
        match byte {
            b'"' | b'\'' => {
                self.separate(before, newline, "");
                self.string(byte);
                Before::Value
            }
            b'`' => {
                self.at += 1;
                self.template()
            }
            b'(' | b'[' | b'{' => {
                if byte == b'{' {
                    self.separate(before, newline, "");
                }
                let head = byte == b'(' && std::mem::take(&mut self.count) == 1;
                self.push(Level { head, ..Level::default() });
                Before::Operator
            }
            b')' | b']' | b'}' => self.close(byte),
            b';' | b',' => {
                self.at += 1;
                self.reset(byte == b';');
                Before::Operator
            }
            b'/' if expects_value || (before == Before::Brace && newline) => {
                self.regex();
                Before::Value
            }
            _ if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80 => {
                self.word(before, newline)
            }
            _ => {
                self.at += 1;
                self.operator(byte, expects_value);
                Before::Operator
            }
        }
    }

    fn word(&mut self, before: Before, newline: bool) -> Before {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80
        }) {
            self.at += 1;
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        let word = std::str::from_utf8(word).unwrap_or_default();
        self.separate(before, newline, word);
        self.count = u32::from(matches!(word, "if" | "for" | "while" | "with" | "switch"));
        if GOING_ON.contains(&word) {
            self.add(1);
            Before::Operator
        } else {
            Before::Value
        }
    }

    /// A new statement may begin here: what stood open at this level is closed.
    fn separate(&mut self, before: Before, newline: bool, word: &str) {
        let begins = match before {
            Before::Value => newline,
            Before::Brace => true,
            Before::Operator => false,
        };
        let goes_on = matches!(
            word,
            "as" | "catch"
                | "else"
                | "finally"
                | "in"
                | "instanceof"
                | "of"
                | "satisfies"
                | "while"
        );
        if begins && !goes_on {
            self.reset(true);
        }
    }

    fn operator(&mut self, byte: u8, expects_value: bool) {
        let after_equals = self.at >= 2 && self.text.get(self.at - 2) == Some(&b'=');
        match (byte, self.levels.last_mut()) {
            // `<A>x` nests, `A<B>` does not.
            (b'<', Some(level)) if !expects_value => {
                level.angles += 1;
                self.open += 1;
            }
            (b'>', Some(level)) if !after_equals && level.angles > 0 => {
                level.angles -= 1;
                self.open -= 1;
            }
            _ => self.add(1),
        }
    }

    fn add(&mut self, more: u32) {
        if let Some(level) = self.levels.last_mut() {
            level.count += more;
            self.open += more;
        }
    }

    fn reset(&mut self, angles_too: bool) {
        if let Some(level) = self.levels.last_mut() {
            self.open -= std::mem::take(&mut level.count);
            if angles_too {
                self.open -= std::mem::take(&mut level.angles);
            }
        }
    }

    fn push(&mut self, level: Level) {
        self.at += 1;
        // The bracket stays counted in the level around it: `f()()()` nests too.
        self.add(1);
        self.open += 1;
        self.levels.push(level);
    }

    fn close(&mut self, byte: u8) -> Before {
        self.at += 1;
        if self.levels.len() < 2 {
            return Before::Value;
        }
        self.reset(true);
        let Some(level) = self.levels.pop() else { return Before::Value };
        self.open -= 1;
        match byte {
            b'}' if level.template => self.template(),
            b'}' => Before::Brace,
            _ if level.head => Before::Operator,
            _ => Before::Value,
        }
    }

    fn comment(&mut self) -> bool {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let length = match rest.first() {
            Some(b'/') => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            Some(b'*') => {
                let body = rest.get(1..).unwrap_or_default();
                let end = body.windows(2).position(|pair| pair == b"*/");
                end.map_or(rest.len(), |end| end + 3)
            }
            _ => return false,
        };
        self.at += 1 + length;
        true
    }

    fn string(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'\n' => return,
                byte if *byte == quote => return,
                _ => {}
            }
        }
    }

    /// The text of a template up to its end or its next `${`.
    fn template(&mut self) -> Before {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'`' => {
                    self.at += 1;
                    return Before::Value;
                }
                b'$' if self.text.get(self.at + 1) == Some(&b'{') => {
                    self.at += 1;
                    self.push(Level { template: true, ..Level::default() });
                    return Before::Operator;
                }
                _ => self.at += 1,
            }
        }
        Before::Value
    }

    fn regex(&mut self) {
        let mut class = false;
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => return,
                b'\n' => return,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::too_deep;

    #[test]
    fn hostile_nesting_is_found() {
        let n = 20_000;
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("[{a:", "}]"),
            ("`${", "}`"),
            ("!", ""),
            ("- ", ""),
            ("typeof ", ""),
            ("new ", ""),
            ("a=>", ""),
            ("a=", ""),
            ("a?b:", ""),
            ("a ? b\n:", ""),
            ("a**", ""),
            ("a+", ""),
            ("a\n+", ""),
            (".a\n", ""),
            ("()", ""),
            ("()\n", ""),
            ("if(a)", ""),
            ("if(a)\n", ""),
            ("if(a){}else ", ""),
            ("if(a){}\nelse\n", ""),
            ("for(;;)", ""),
            ("while(a)\n", ""),
            ("a:\n", ""),
            ("let x:A<b,", ""),
            ("A<b,", ""),
            ("function f(){", "}"),
            ("async()=>{", "}"),
            ("f(1,", ")"),
            ("a as b as ", ""),
            ("<A>", ""),
        ] {
            let code = format!("x {}1{}", open.repeat(n), close.repeat(n));
            assert!(too_deep(&code).is_some(), "{open}");
        }
    }

    #[test]
    fn ordinary_programs_pass() {
        let n = 5_000;
        for line in [
            "const a = await github.list_issues({ owner: \"a\", repo: 'b' });\n",
            "const a = (await b.c(d))[0]?.e ?? -1\n",
            "foo(bar)\nbaz()\n",
            "if (a) { b() } else if (c) { d() }\n",
            "if (a) b()\nelse c()\n",
            "for (let i = 0; i < n; i++) { x.push(i) }\n",
            "for (let i = 0; i < n; i++) x.push(i)\n",
            "switch (a) { case 1: b(); break; case 2: { c() } default: d() }\n",
            "const t = `a ${b.c} ${`d ${e}`} f`\n",
            "const r = /[(\"'`]/.test(s) // ((((\n",
            "/* (((( */ type A = Map<string, Array<Set<number>>>\n",
            "const f = async (x: A<b, C<d>>): Promise<void> => { g(x) }\n",
            "console.log('done'); return { a: 1, b: [1, 2, 3] }\n",
            "(a ? b : c).d();\n",
            "x = y / z / 2\n",
        ] {
            let code = line.repeat(n);
            assert_eq!(too_deep(&code), None, "{line}");
        }
        let table = format!("const t = [{}]", "{ a: 1, b: ['x', \"y\"], c: -2.5 },\n".repeat(n));
        assert_eq!(too_deep(&table), None);
        let text = format!("const t = 'a'{}", " +\n'b'".repeat(500));
        assert_eq!(too_deep(&text), None);
    }

    #[test]
    fn broken_text_is_no_matter() {
        for code in ["", ")))", "'", "`${", "/", "/*", "//", "\\", "`\\", "'\\", "}`", "é(", "=>"]
        {
            assert_eq!(too_deep(code), None, "{code}");
        }
    }
}
