//! The one order of routes. Every pair of a route and one of its hosts gets a place in it.
//!
//! Must hold: the order is total and known before the first request; of two pairs that match the
//! same request, the one with the smaller rank wins. So finding never compares anything but ranks.

use std::cmp::Ordering;

use crate::host::HostPattern;

/// What ranking looks at, in this order.
#[derive(Clone, Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) priority: i32,
    /// [`HostPattern::specificity`]; 0 for any host.
    pub(crate) host: u16,
    pub(crate) class: u8,
    pub(crate) shape: &'a [u8],
    pub(crate) conditions: u32,
    pub(crate) route: u32,
}

impl Standing<'_> {
    /// `Less` means `self` goes first.
    pub(crate) fn cmp(&self, other: &Self) -> Ordering {
        other
            .priority
            .cmp(&self.priority)
            .then_with(|| other.host.cmp(&self.host))
            .then_with(|| self.cmp_without_host(other))
    }

    /// The order of two routes of one priority that match through equally specific hosts.
    fn cmp_without_host(&self, other: &Self) -> Ordering {
        (other.class.cmp(&self.class))
            .then_with(|| other.shape.cmp(self.shape))
            .then_with(|| other.conditions.cmp(&self.conditions))
            .then_with(|| self.route.cmp(&other.route))
    }
}

/// How specific a route's host is; 0 for any host.
pub(crate) fn specificity(host: Option<&HostPattern>) -> u16 {
    host.map_or(0, HostPattern::specificity)
}
