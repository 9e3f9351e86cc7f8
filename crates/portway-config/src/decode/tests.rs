use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Percent, Secret, Size, choice, config, yaml};

choice! {
    /// How much.
    #[later("huge")]
    enum Amount {
        /// A bit.
        Little = "little",
        /// A lot.
        Much = "much",
    }
}

config! {
    /// Something to decode.
    #[later("tls")]
    struct Thing {
        /// What it is called. It has no default.
        name: Spanned<String>,
        /// How long it may take.
        time: Duration = Duration::from_secs(3),
        amount: Amount = Amount::Little,
        #[key = "type"]
        kind: Option<String>,
        inner: Inner = defaults(),
        sizes: Vec<Size> = vec![],
        share: Spanned<Percent> = Percent::new(50.0),
        token: Option<Secret>,
    }
}

config! {
    /// Something inside.
    struct Inner {
        on: bool = true,
        port: u16 = 80,
    }
}

fn decode<T: Decode>(text: &str) -> (Option<T>, Vec<String>) {
    let mut problems = Diagnostics::new();
    let node = yaml::read(&Arc::from("t"), text, &mut problems).expect("valid YAML");
    let value = T::decode(&node, &mut problems);
    (
        value,
        problems.sorted().iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn fills_in_defaults_and_knows_places() {
    let (thing, problems) = decode::<Thing>("name: x\ntype: y\nsizes: [1KiB, 5]\n");
    assert_eq!(problems, [""; 0]);
    let thing = thing.expect("valid");
    assert_eq!(thing.name.span().to_string(), "t:1:7");
    assert_eq!(thing.time, Duration::from_secs(3));
    assert_eq!(thing.kind.as_deref(), Some("y"));
    assert_eq!(thing.inner, Inner { on: true, port: 80 });
    assert_eq!(thing.sizes, [Size(1024), Size(5)]);
    assert_eq!(thing.share.fraction(), 0.5);
}

#[test]
fn reports_every_problem_in_one_go() {
    let text = "tine: 3s\ntime: [1]\namount: mich\ninner: {on: yes, port: 70000, x: 1}\ntls: {}\n";
    let (thing, problems) = decode::<Thing>(text);
    assert!(thing.is_none());
    assert_eq!(
        problems,
        [
            "t:1:1: error: unknown key `tine`\n  hint: did you mean `time`?",
            "t:1:1: error: the key `name` is missing\n  hint: `name`: What it is called",
            "t:2:7: error: expected a duration like 250ms, 30s, 5m or 1h, found a list",
            "t:3:9: error: `mich` is not a choice here\n  hint: did you mean `much`?",
            "t:4:13: error: expected true or false, found `yes`\n  hint: write true or false",
            "t:4:24: error: expected a whole number from 0 to 65535, found the number 70000",
            "t:4:31: error: unknown key `x`\n  hint: use one of on, port",
            "t:5:1: error: `tls` is not supported yet by this version\n  hint: remove the key",
        ]
    );
}

#[test]
fn a_bad_value_leaves_its_default_so_that_the_rest_is_checked() {
    let (thing, problems) = decode::<Thing>("name: x\ntime: soon\n");
    assert_eq!(problems.len(), 1);
    assert_eq!(thing.expect("goes on").time, Duration::from_secs(3));
}

#[test]
fn a_word_of_a_later_version_is_said_to_be_one() {
    let (_, problems) = decode::<Amount>("huge");
    assert_eq!(
        problems,
        [
            "t:1:1: error: `huge` is not supported yet by this version\n  hint: use one of little, much"
        ]
    );
}

#[test]
fn the_schema_says_what_the_decoder_takes() {
    let schema = Thing::schema();
    assert_eq!(schema["required"], json!(["name"]));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["time"]["default"], "3s");
    assert_eq!(
        schema["properties"]["time"]["description"],
        "How long it may take."
    );
    assert_eq!(
        schema["properties"]["amount"]["enum"],
        json!(["little", "much"])
    );
    assert_eq!(schema["properties"]["type"]["type"][0], "string");
    assert_eq!(schema["properties"]["token"]["writeOnly"], true);
    assert_eq!(
        schema["properties"]["inner"]["properties"]["port"]["maximum"],
        65535
    );
}

#[test]
fn an_incomplete_list_keeps_its_good_items_only_as_each() {
    let (each, problems) = decode::<Each<u16>>("[1, x, 3]");
    let each = each.expect("always there");
    assert_eq!(
        (&*each, each.complete, problems.len()),
        (&[1, 3][..], false, 1)
    );
    let (list, _) = decode::<Vec<u16>>("[1, x, 3]");
    assert!(list.is_none());
    let (one, _) = decode::<OneOrMany<u16>>("7");
    assert_eq!(one.expect("valid").0, [7]);
}

#[test]
fn a_table_keeps_the_order_of_the_file() {
    let (table, _) = decode::<Table<u16>>("b: 1\na: 2\n");
    let keys: Vec<String> = table
        .expect("valid")
        .iter()
        .map(|(k, _)| k.to_string())
        .collect();
    assert_eq!(keys, ["b", "a"]);
}

#[test]
fn a_bare_fraction_is_no_share() {
    let (_, problems) = decode::<Percent>("0.5");
    assert_eq!(
        problems,
        [
            "t:1:1: error: expected a share like 50%, found the number 0.5\n  hint: write 50% or 0.5%"
        ]
    );
    assert_eq!(decode::<Percent>("50%").0.map(Percent::fraction), Some(0.5));
    assert!(decode::<Percent>("101%").0.is_none());
}
