//! Languages as far as they are known here; the expected texts are Node's.

use super::run;
use serde_json::json;

#[test]
fn texts_have_the_order_of_a_dictionary() {
    let code = "const s = (xs, ...o) => xs.sort((a, b) => a.localeCompare(b, ...o)).join(' ');\n\
                [s(['b', 'a', 'B', 'A', 'ä', 'z', 'Z']), s(['x10', 'x9', 'x1'], undefined, { numeric: true }),\n\
                 s(['x10', 'x9'], 'en-u-kn-true'), s(['x10', 'x9']), s(['a-b', 'a_b', 'ab', 'a1']),\n\
                 'a'.localeCompare('Á', 'en', { sensitivity: 'base' }), 'a'.localeCompare('A', 'en', { sensitivity: 'accent' }),\n\
                 'a'.localeCompare('á', 'en', { sensitivity: 'case' }), 'résumé'.localeCompare('resume'), 'a'.localeCompare('A')]";
    let expected =
        json!(["a A ä b B z Z", "x1 x9 x10", "x9 x10", "x10 x9", "a_b a-b a1 ab", 0, 0, 0, 1, -1]);
    assert_eq!(run(code).value(), expected);
}

#[test]
fn numbers_are_grouped() {
    let code = "[(1234567.891).toLocaleString(), (0).toLocaleString(), (-1234.5).toLocaleString('en-US'),\n\
                (1234.5).toLocaleString('en-US', { style: 'currency', currency: 'USD' }),\n\
                (0.256).toLocaleString(undefined, { style: 'percent', maximumFractionDigits: 1 }),\n\
                (1e21).toLocaleString(), (2n ** 64n).toLocaleString(),\n\
                (1.5).toLocaleString('en-US', { minimumFractionDigits: 2 }), (999.999).toLocaleString('en', { maximumFractionDigits: 0 }),\n\
                (1234).toLocaleString('en-US', { useGrouping: false }), (NaN).toLocaleString()]";
    let expected = json!([
        "1,234,567.891",
        "0",
        "-1,234.5",
        "$1,234.50",
        "25.6%",
        "1,000,000,000,000,000,000,000",
        "18,446,744,073,709,551,616",
        "1.50",
        "1,000",
        "1234",
        "NaN"
    ]);
    assert_eq!(run(code).value(), expected);
}

#[test]
fn dates_are_written() {
    let code = "const d = new Date('2026-01-02T15:04:05Z');\n\
                [d.toLocaleDateString(), d.toLocaleTimeString(), d.toLocaleString(), d.toLocaleDateString('sv-SE'),\n\
                 d.toLocaleDateString('en-US', { year: 'numeric', month: 'long', day: 'numeric' }),\n\
                 d.toLocaleDateString('en-US', { weekday: 'short', month: 'short', day: 'numeric' }),\n\
                 d.toLocaleDateString('en-US', { month: 'long', year: 'numeric' }), d.toLocaleDateString('en-US', { weekday: 'long' }),\n\
                 d.toLocaleDateString('en-US', { year: 'numeric', month: '2-digit', day: '2-digit', timeZone: 'UTC' }),\n\
                 d.toLocaleTimeString('en-US', { hour: '2-digit', minute: '2-digit' }), d.toLocaleTimeString([], { hour12: false }),\n\
                 d.toLocaleString('en-US', { dateStyle: 'medium', timeStyle: 'short' }),\n\
                 d.toLocaleString('en-US', { dateStyle: 'full' }), new Date(NaN).toLocaleDateString()]";
    let expected = json!([
        "1/2/2026",
        "3:04:05 PM",
        "1/2/2026, 3:04:05 PM",
        "2026-01-02",
        "January 2, 2026",
        "Fri, Jan 2",
        "January 2026",
        "Friday",
        "01/02/2026",
        "03:04 PM",
        "15:04:05",
        "Jan 2, 2026, 3:04 PM",
        "Friday, January 2, 2026",
        "Invalid Date"
    ]);
    assert_eq!(run(code).value(), expected);
}

#[test]
fn what_would_be_wrong_is_refused() {
    for (code, message) in [
        ("(1).toLocaleString('de-DE')", "toLocaleString: only en-US is available here, not de-DE"),
        (
            "(1).toLocaleString('en-US', { notation: 'compact' })",
            "toLocaleString: notation \"compact\" is not available here; write code of your own",
        ),
        (
            "new Date().toLocaleString('en-US', { timeZone: 'Europe/Berlin' })",
            "toLocaleString: timeZone \"Europe/Berlin\" is not available here; write code of your own",
        ),
    ] {
        assert_eq!(run(code).threw().1, message, "{code}");
    }
}
