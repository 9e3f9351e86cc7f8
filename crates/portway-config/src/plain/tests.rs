use portway_core::diagnostic::Diagnostics;
use proptest::prelude::*;

use super::*;
use crate::yaml;

/// The tree with its places, which nodes do not compare.
fn shown(node: &Node) -> String {
    format!("{node:#?}")
}

/// What is read here is what the full parser reads.
fn agrees(text: &str) -> bool {
    let file: Arc<str> = "t".into();
    let Some(node) = read(&file, text) else {
        return false;
    };
    let mut problems = Diagnostics::new();
    let full = yaml::read_full(&file, text, &mut problems);
    let full = full.unwrap_or_else(|| panic!("not YAML: {text:?}: {problems:?}"));
    assert!(problems.is_empty(), "{text:?}: {problems:?}");
    assert_eq!(shown(&node), shown(&full), "{text}");
    true
}

#[test]
fn reads_a_whole_gateway() {
    assert!(agrees(include_str!("../../tests/mini-gateway.yaml")));
}

#[test]
fn reads_what_configs_consist_of() {
    let texts = [
        "a: 1\n",
        "a: 1",
        "# head\n\na: 1 # note\n\n  # deep\nb:\n  c: x\n\n  d: y\n",
        "a:\n- 1\n- 2\nb:\n  - x: 1\n    y: 2\n  -\n    z: 3\n",
        "- a\n- - b\n  - c\n-   d: 1\n    e: 2\n",
        "a: [x, 'it''s', \"q\\\"\\n\", [], {}, {k: v, l: [1, 2]}]\n",
        "a: {addr: http://127.0.0.1:8081, weight: 3}\n",
        "a: http://127.0.0.1:8081/x?y={z}#frag\n",
        "a: ^/v1/(.*)$ => /$1\nb: ${X:-y}\n",
        "a: -3\nb: x - y\nc: a#b\nd: \"#\"\ne: '# no'   # yes\n",
        "a:   # nothing here\n  b: 1   \n",
        "a:\n    b:\n       - c:\n           d: 1\n       - e\nf: 2\n",
        "/a: 1\na.b-c_d: 2\n",
        "a: [ x , y ]\nb: { c: d , e: f }\n",
    ];
    for text in texts {
        assert!(agrees(text), "{text:?} was left to the full parser");
    }
}

#[test]
fn leaves_the_rest_to_the_full_parser() {
    let texts = [
        "",
        "# only\n",
        "a",
        "a: &x 1\n",
        "a: *x\n",
        "a: !!str 1\n",
        "a: |\n  x\n",
        "a: >\n  x\n",
        "a: x\n  y\n",
        "a: \"x\n  y\"\n",
        "a: [1,\n  2]\n",
        "? a\n: b\n",
        "a: b: c\n",
        "a:b\n",
        "a: 1\na: 2\n",
        "a: {x: 1, x: 2}\n",
        "--- \na: 1\n",
        "a: 1\n---\nb: 2\n",
        "%YAML 1.2\n",
        "a: 1\n b: 2\n",
        "  a: 1\nb: 2\n",
        "a:\n  b: 1\n c: 2\n",
        "\ta: 1\n",
        "a: é\n",
        "a: 1\r\n",
        "a: [x: 1]\n",
        "a: [1, 2\n",
        "a: {b}\n",
        "a: [1,]\n",
        "a: \"\\x41\"\n",
        "a: 'x' y\n",
        "a: @x\n",
        "a: `x`\n",
        "a: 1 #x\n  b\n",
        "a:\n",
        "-\n",
        "\u{feff}a: 1\n",
        "a: \"x\"#c\n",
    ];
    for text in texts {
        assert!(!agrees(text), "{text:?} was read");
    }
}

#[test]
fn gives_up_on_deep_nesting() {
    let text: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(read(&"t".into(), &text).is_none());
    assert!(read(&"t".into(), &format!("a: {}", "[".repeat(100_000))).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_the_full_parser_on_lines_of_pieces(
        lines in prop::collection::vec(
            (0..5_usize, prop::collection::vec(prop::sample::select(PIECES), 0..6)),
            0..8,
        )
    ) {
        let line = |(indent, pieces): &(usize, Vec<&str>)| format!("{}{}", " ".repeat(*indent), pieces.concat());
        let text = lines.iter().map(line).collect::<Vec<_>>().join("\n");
        agrees(&text);
    }
}

/// A tree to write down in one of the ways that people do.
#[derive(Clone, Debug)]
enum Tree {
    Scalar(&'static str),
    List(Vec<Tree>, usize),
    Map(Vec<Tree>, usize),
}

fn tree() -> impl Strategy<Value = Tree> {
    let scalar = prop::sample::select(SCALARS).prop_map(Tree::Scalar);
    scalar.prop_recursive(5, 40, 5, |inner| {
        let items = || prop::collection::vec(inner.clone(), 1..5);
        prop_oneof![
            (items(), 0..4_usize).prop_map(|(items, layout)| Tree::List(items, layout)),
            (items(), 0..4_usize).prop_map(|(items, layout)| Tree::Map(items, layout)),
        ]
    })
}

const SCALARS: &[&str] = &[
    "x",
    "1",
    "http://h:1/p",
    "two words",
    "'it''s'",
    "\"a \\n b\"",
    "-3",
    "x # note",
    "[]",
    "{}",
];

/// Layout 0 is in brackets, 1 indents lists, 2 does not, 3 begins items on a line of their own.
fn write(out: &mut String, tree: &Tree, indent: usize, in_brackets: bool) {
    let pad = |out: &mut String, n: usize| out.extend(std::iter::repeat_n(' ', n));
    match tree {
        Tree::Scalar(text) if in_brackets => out.push_str(text.trim_end_matches(" # note")),
        Tree::Scalar(text) => out.push_str(text),
        Tree::List(items, layout) | Tree::Map(items, layout) if in_brackets || *layout == 0 => {
            let map = matches!(tree, Tree::Map(..));
            out.push_str(if map { "{ " } else { "[" });
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                if map {
                    out.push_str(&format!("k{at}: "));
                }
                write(out, item, 0, true);
            }
            out.push_str(if map { " }" } else { "]" });
        }
        Tree::List(items, layout) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push('\n');
                    pad(out, indent);
                }
                out.push('-');
                match item {
                    Tree::List(_, l) | Tree::Map(_, l) if *l != 0 && *layout == 3 => {
                        out.push_str(" # note\n\n");
                        pad(out, indent + 3);
                        write(out, item, indent + 3, false);
                    }
                    _ => {
                        out.push(' ');
                        write(out, item, indent + 2, false);
                    }
                }
            }
        }
        Tree::Map(items, _) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push('\n');
                    pad(out, indent);
                }
                out.push_str(&format!("k{at}:"));
                let deeper = match item {
                    Tree::List(_, 2) => Some(0),
                    Tree::List(_, 1 | 3) | Tree::Map(_, 1 | 3) => Some(2),
                    Tree::Map(_, 2) => Some(4),
                    _ => None,
                };
                match deeper {
                    Some(by) => {
                        out.push('\n');
                        pad(out, indent + by);
                        write(out, item, indent + by, false);
                    }
                    None => {
                        out.push(' ');
                        write(out, item, 0, false);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_the_full_parser_on_every_layout(tree in tree()) {
        let mut text = String::from("root:\n  ");
        write(&mut text, &tree, 2, false);
        text.push('\n');
        let word = matches!(tree, Tree::Scalar(_) | Tree::List(_, 0) | Tree::Map(_, 0));
        prop_assert!(agrees(&text) || word, "{}", text);
    }
}

const PIECES: &[&str] = &[
    "a: ",
    "b: ",
    "c:",
    "a",
    "- ",
    "-",
    "x y",
    "1",
    ": ",
    ":",
    " ",
    "#",
    " # n",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ",",
    "\"",
    "\"q\"",
    "'",
    "'s'",
    "\\",
    "&a ",
    "*a",
    "!t ",
    "|",
    ">",
    "?",
    "? ",
    "%",
    "@",
    "${X:-y}",
    "http://h:1/p",
    "---",
    "...",
    "~",
    "null",
    "é",
    "k: v",
    "[1, 2]",
    "{a: 1}",
    "=>",
    "$",
    "/",
];
