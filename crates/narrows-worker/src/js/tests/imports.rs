use crate::js::uses::{Given, Reading, read_with};
use narrows_types::{Finding, Position};
use std::collections::HashSet;

/// Where there are modules, all but one of them.
fn importing(code: &str) -> Reading<'_> {
    let importable = |module: &str| match module {
        "no" => Err("no is not available".to_owned()),
        _ => Ok(()),
    };
    let globals = ["input".to_owned()].into_iter().collect::<HashSet<_>>();
    read_with(code, Given { globals: &globals, importable: Some(&importable), state: false })
}

#[test]
fn imports_are_fetched_before_the_first_line() {
    for (code, before) in [
        (
            "import a from 'm'\na",
            r#"const { "default": a } = await $narrows_imported("m", ["default"]);"#,
        ),
        (
            "import { a, b as c, 'd-e' as f } from \"m\"\n[a, c, f]",
            r#"const { "a": a, "b": c, "d-e": f } = await $narrows_imported("m", ["a", "b", "d-e"]);"#,
        ),
        ("import * as m from 'm'\nm.x", r#"const m = await $narrows_imported("m", []);"#),
        (
            "import d, * as m from 'm'\n[d, m]",
            r#"const m = await $narrows_imported("m", ["default"]), { "default": d } = m;"#,
        ),
        ("1\nimport 'm'\n2", r#"await $narrows_imported("m", []);"#),
        (
            "import a, { b } from 'm' with { type: 'json', 'x': \"y\" }\n[a, b]",
            r#"const { "default": a, "b": b } = await $narrows_imported("m", ["default", "b"], { "type": "json", "x": "y" });"#,
        ),
        (
            "import imported$ from 'm'\nimported$",
            r#"const { "default": imported$ } = await $narrows_imported("m", ["default"]);"#,
        ),
        // Types are nothing that is imported.
        (
            "import { T, x } from 'm'\nx as T",
            r#"const { "x": x } = await $narrows_imported("m", ["x"]);"#,
        ),
    ] {
        let reading = importing(code);
        assert_eq!(reading.uses.findings, [], "{code}");
        assert_eq!(reading.uses.references, [], "{code}");
        let first = reading.text.lines().next().unwrap();
        assert_eq!(first, format!("(async ($narrows_imported) => {{{before}"), "{code}");
        assert!(reading.imports, "{code}");
        assert!(!reading.text.contains("import "), "{}", reading.text);
    }
    let reading = importing("import type { T } from 'm'\nconst x: T = 1\nx");
    assert!(reading.text.starts_with("(async () => {\n"), "{}", reading.text);
    assert!(!reading.imports && importing("await import(input)").imports);
}

#[test]
fn places_are_the_programs_own_after_imports() {
    let reading = importing("import { a } from 'm'\n\na(\n  1)");
    let at = reading.text.lines().position(|line| line.contains("a(1)")).unwrap();
    let column = reading.text.lines().nth(at).unwrap().find('a').unwrap();
    let place = (u32::try_from(at).unwrap() + 1, u32::try_from(column).unwrap() + 1);
    assert_eq!(reading.places.backs(&[place]), [Position { line: 3, column: 1 }]);
}

#[test]
fn what_cannot_be_imported_is_told_where_it_is_named() {
    for (code, told) in [
        ("import a from 'no'\na", "1:15 no is not available"),
        ("const a = await import('no')\na", "1:24 no is not available"),
        (
            "import {from} from 'm'\nconst $narrows_imported = from([1])",
            "2:7 $narrows_imported is taken: names that begin with $narrows_ are not free",
        ),
        ("require('a')", "1:1 require is not available: write import x from \"module\""),
    ] {
        let reading = importing(code);
        let shown =
            |found: &Finding| format!("{}:{} {}", found.at.line, found.at.column, found.message);
        let found: Vec<String> = reading.uses.findings.iter().map(shown).collect();
        assert_eq!(found, [told], "{code}");
    }
}
