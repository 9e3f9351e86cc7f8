//! The two macros a config type is written with. One definition gives the type, its decoder (unknown
//! and missing keys, defaults, every problem at once) and its JSON schema, with the doc comments as
//! the descriptions an editor shows.
//!
//! Must hold: what these expand to works in any crate that depends on portway-config alone, with
//! no import beyond the macro.

/// Defines a map of known keys.
///
/// ```
/// use portway_config::{Spanned, config};
/// use std::time::Duration;
///
/// config! {
///     /// How a thing waits.
///     pub struct Waiting {
///         /// How long. No default: the key must be there.
///         pub time: Spanned<Duration>,
///         /// How often.
///         pub tries: u32 = 3,
///         /// A key that Rust reserves.
///         #[key = "type"]
///         pub kind: Option<String>,
///     }
/// }
/// ```
///
/// A key without a default must be there, unless its type is an `Option`. `#[later("a", "b")]` before
/// the `struct` names keys that are refused as not supported yet.
///
/// A key with a problem takes its default, so that the rest can be checked as well: a value may
/// come back although problems were noted. A config with problems is never run.
#[macro_export]
macro_rules! config {
    (
        $(#[doc = $doc:literal])*
        $(#[later($($later:literal),* $(,)?)])?
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $(#[key = $key:tt])?
                $field_vis:vis $field:ident : $type:ty $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[doc = $field_doc])* $field_vis $field: $type,)*
        }

        impl $crate::decode::Decode for $name {
            type Plain = Self;

            fn from_plain(plain: Self, _: &$crate::core::Span) -> Self {
                plain
            }

            fn decode(
                node: &$crate::Node,
                problems: &mut $crate::core::diagnostic::Diagnostics,
            ) -> Option<Self> {
                const KNOWN: &[&str] = &[$($crate::key_of!($field $($key)?)),*];
                const LATER: &[&str] = &[$($($later),*)?];
                let entries = $crate::decode::struct_entries(node, problems)?;
                $(let mut $field: Option<Option<$type>> = None;)*
                for entry in entries {
                    match &*entry.key {
                        $($crate::key_of!($field $($key)?) => {
                            $field = Some(<$type as $crate::decode::Decode>::decode(&entry.value, problems));
                        })*
                        _ => $crate::decode::unknown_key(entry, KNOWN, LATER, problems),
                    }
                }
                $(let $field: Option<$type> = match $field {
                    Some(Some(value)) => Some(value),
                    found => {
                        let fallback = $crate::fallback_of!($type, &node.span $(, $default)?);
                        if found.is_none() && fallback.is_none() {
                            let docs = $crate::decode::join_docs(&[$($field_doc),*]);
                            let key = $crate::key_of!($field $($key)?);
                            $crate::decode::missing_key(&node.span, key, &docs, problems);
                        }
                        fallback
                    }
                };)*
                Some($name { $($field: $field?,)* })
            }

            fn schema() -> $crate::Schema {
                let span = $crate::core::Span::file("");
                let _ = &span; // a struct without defaults does not use it
                $crate::decode::struct_schema(
                    &$crate::decode::join_docs(&[$($doc),*]),
                    vec![$({
                        let default: Option<$type> = $crate::fallback_of!($type, &span $(, $default)?);
                        $crate::decode::Field {
                            key: $crate::key_of!($field $($key)?),
                            docs: $crate::decode::join_docs(&[$($field_doc),*]),
                            required: default.is_none(),
                            default: default.as_ref().map($crate::decode::Decode::to_json),
                            schema: <$type as $crate::decode::Decode>::schema(),
                        }
                    }),*],
                )
            }

            fn to_json(&self) -> $crate::json::Value {
                let mut map = $crate::json::Map::new();
                $(
                    let value = $crate::decode::Decode::to_json(&self.$field);
                    if !value.is_null() {
                        map.insert($crate::key_of!($field $($key)?).to_owned(), value);
                    }
                )*
                $crate::json::Value::Object(map)
            }
        }
    };
}

/// Defines a choice between words.
///
/// ```
/// portway_config::choice! {
///     /// How lines are written.
///     #[later("binary")]
///     pub enum Format {
///         /// One JSON object a line.
///         Json = "json",
///         /// Text for people.
///         Text = "text",
///     }
/// }
/// assert_eq!(Format::Text.as_str(), "text");
/// ```
///
/// `#[later("a")]` names words that are refused as not supported yet.
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        $(#[later($($later:literal),* $(,)?)])?
        $vis:vis enum $name:ident {
            $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $($(#[doc = $variant_doc])* $variant,)*
        }

        impl $name {
            /// The word in the config.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl $crate::decode::Decode for $name {
            type Plain = Self;

            fn from_plain(plain: Self, _: &$crate::core::Span) -> Self {
                plain
            }

            fn decode(
                node: &$crate::Node,
                problems: &mut $crate::core::diagnostic::Diagnostics,
            ) -> Option<Self> {
                const LATER: &[&str] = &[$($($later),*)?];
                match $crate::decode::word(node, &[$($word),*], LATER, problems)? {
                    $($word => Some($name::$variant),)*
                    _ => None,
                }
            }

            fn schema() -> $crate::Schema {
                let mut docs = $crate::decode::join_docs(&[$($doc),*]);
                $(
                    docs.push_str(concat!("\n- `", $word, "`: "));
                    docs.push_str(&$crate::decode::join_docs(&[$($variant_doc),*]));
                )*
                $crate::json::json!({ "enum": [$($word),*], "markdownDescription": docs })
            }

            fn to_json(&self) -> $crate::json::Value {
                self.as_str().into()
            }
        }
    };
}

/// The key of a field: its name, or what `#[key = "…"]` says.
#[doc(hidden)]
#[macro_export]
macro_rules! key_of {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:tt) => {
        $key
    };
}

/// What a field is set to without a usable value in the file; `None` if it must have one.
#[doc(hidden)]
#[macro_export]
macro_rules! fallback_of {
    ($type:ty, $span:expr) => {
        <$type as $crate::decode::Decode>::absent()
    };
    ($type:ty, $span:expr, $default:expr) => {
        Some(<$type as $crate::decode::Decode>::from_plain(
            $default, $span,
        ))
    };
}
