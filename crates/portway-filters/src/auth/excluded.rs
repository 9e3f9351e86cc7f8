//! Paths that need no proof of who calls.
//!
//! Must hold: what is compared is the canonical path, the one that routes and targets see too, so no
//! spelling gets past (CVE-2021-29492); `/a/*` covers what is below `/a/`, on segment boundaries.

use portway_config::Spanned;
use portway_filter::Compile;

/// Exact paths, and prefixes that end in `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excluded {
    exact: Box<[Box<str>]>,
    below: Box<[Box<str>]>,
}

impl Excluded {
    /// Reads the list; `None` after a problem was noted.
    pub fn compile(paths: &[Spanned<String>], cx: &mut Compile<'_>) -> Option<Excluded> {
        let (mut exact, mut below) = (Vec::new(), Vec::new());
        let mut good = true;
        for path in paths {
            let (text, list) = match path.strip_suffix("/*") {
                Some(parent) => (format!("{parent}/"), &mut below),
                None => (path.to_string(), &mut exact),
            };
            if is_canonical(&text) {
                list.push(text.into());
            } else {
                let what = format!("`{}` can never be a request's path", path.escape_default());
                let hint = "start with `/`, without `*` inside, `//`, `..`, `?` or `%`";
                cx.error(path.span(), what, hint);
                good = false;
            }
        }
        good.then(|| Excluded {
            exact: exact.into(),
            below: below.into(),
        })
    }

    /// Whether this canonical path needs no proof.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.exact.iter().any(|p| **p == *path) || self.below.iter().any(|p| path.starts_with(&**p))
    }
}

fn is_canonical(path: &str) -> bool {
    let inner = path.strip_prefix('/');
    let segments = inner.map(|p| p.strip_suffix('/').unwrap_or(p).split('/'));
    let odd = |s: &str| s.is_empty() || s == "." || s == "..";
    let plain = path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"*?#%\\".contains(&b));
    plain && segments.is_some_and(|mut s| path == "/" || !s.any(odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_can_be_a_path() {
        for good in ["/", "/health", "/a/b", "/a/", "/a/b/", "/~x;y=1"] {
            assert!(is_canonical(good), "{good}");
        }
        for bad in [
            "", "health", "//", "/a//b", "/a/../b", "/a/.", "/a*", "/a?x", "/%61", "/a b",
        ] {
            assert!(!is_canonical(bad), "{bad}");
        }
    }
}
