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
}
