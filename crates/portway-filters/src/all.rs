//! The list of filters. A new one is one line here.

use portway_filter::FilterKind;

/// Every filter there is, in the order of their names.
#[must_use]
pub fn all() -> Vec<FilterKind> {
    vec![
        crate::auth::kind(),
        crate::body_limit::kind(),
        crate::circuit_breaker::kind(),
        crate::cors::kind(),
        crate::grpc_json::kind(),
        crate::grpc_web::kind(),
        crate::headers::kind(),
        crate::ip_filter::kind(),
        crate::logging::kind(),
        crate::metrics::kind(),
        crate::rate_limit::kind(),
        crate::request_id::kind(),
        crate::retry::kind(),
        crate::security_headers::kind(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_config::{FixedEnv, parse_node};
    use portway_core::{Clock, Diagnostics};
    use portway_filter::{Compile, Scope};

    /// Whatever an example names is the bookstore's descriptor set.
    struct AnySet;

    impl portway_filter::Files for AnySet {
        fn read(&self, _: &std::path::Path, _: u64) -> Result<Vec<u8>, String> {
            let set = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../examples/bookstore/bookstore.binpb"
            );
            std::fs::read(set).map_err(|error| error.to_string())
        }

        fn ask(&self, _: &portway_filter::Service) -> Result<Vec<u8>, String> {
            self.read(std::path::Path::new(""), 0)
        }
    }

    #[test]
    fn lists_each_name_once_and_in_order() {
        let names: Vec<_> = all().iter().map(|k| k.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }

    #[test]
    fn describes_every_filter_and_every_key() {
        for kind in all() {
            assert!(kind.summary.ends_with('.'), "{}", kind.name);
            let schema = (kind.schema)();
            let keys = schema["properties"].as_object().unwrap();
            assert!(!keys.is_empty(), "{}", kind.name);
            for (key, value) in keys {
                assert!(value["description"].is_string(), "{}: {key}", kind.name);
            }
        }
    }

    #[test]
    fn has_a_page_for_every_filter_whose_examples_compile() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/filters");
        for kind in all() {
            let page = std::fs::read_to_string(format!("{pages}/{}.md", kind.name)).unwrap();
            let blocks: Vec<&str> = page.split("```yaml\n").skip(1).collect();
            assert!(!blocks.is_empty(), "{}", kind.name);
            for block in blocks {
                let (yaml, _) = block.split_once("```").unwrap();
                examples_compile(kind, yaml);
            }
            for key in (kind.schema)()["properties"].as_object().unwrap().keys() {
                assert!(page.contains(key.as_str()), "{}.md lacks {key}", kind.name);
            }
        }
    }

    fn examples_compile(kind: FilterKind, yaml: &str) {
        let mut problems = Diagnostics::new();
        let list = parse_node("page", yaml, &FixedEnv::new(), &mut problems).unwrap();
        let clock = Clock::system();
        for item in list.items().unwrap() {
            let mut cx = Compile {
                diagnostics: &mut problems,
                scope: Scope::Global,
                route: None,
                span: &item.span,
                clock: &clock,
                files: &AnySet,
                files_read: 0,
            };
            let built = (kind.compile)(item.find(kind.name).unwrap(), &mut cx);
            assert!(built.is_some(), "{}: {problems:?}", kind.name);
        }
        // A warning is allowed: the keys of examples are short enough to read.
        assert!(!problems.has_errors(), "{}: {problems:?}", kind.name);
    }
}
