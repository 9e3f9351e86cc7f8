//! `panic_threshold`: when too few targets are healthy, use all of them.
//!
//! Must hold: below the threshold health is set aside, because the few left would be overrun by
//! everyone's traffic and the check may be what is wrong. A threshold of 0 never panics: with no
//! healthy target the list is empty.

/// Whether health still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// The list holds the healthy targets.
    Healthy,
    /// Too few are healthy: the list holds all targets.
    Panic,
}

/// Fills `out` with the indices of the targets that may be picked, ascending. `threshold_percent`
/// is the share of healthy targets, counted by heads and not by weight, below which all are used.
pub fn usable(healthy: &[bool], threshold_percent: u8, out: &mut Vec<u32>) -> Usable {
    out.clear();
    let count = healthy.iter().filter(|h| **h).count();
    let panic = (count as u64) * 100 < healthy.len() as u64 * u64::from(threshold_percent.min(100));
    out.extend(
        (0u32..)
            .zip(healthy)
            .filter(|(_, healthy)| **healthy || panic)
            .map(|(index, _)| index),
    );
    if panic {
        Usable::Panic
    } else {
        Usable::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(healthy: &[bool], threshold: u8) -> (Usable, Vec<u32>) {
        let mut out = vec![9];
        (usable(healthy, threshold, &mut out), out)
    }

    #[test]
    fn keeps_to_the_healthy_while_they_are_enough() {
        assert_eq!(list(&[true, false], 50), (Usable::Healthy, vec![0]));
        assert_eq!(list(&[true, true], 100), (Usable::Healthy, vec![0, 1]));
    }

    #[test]
    fn uses_all_below_the_threshold() {
        assert_eq!(
            list(&[true, false, false], 50),
            (Usable::Panic, vec![0, 1, 2])
        );
        assert_eq!(list(&[false, false], 50), (Usable::Panic, vec![0, 1]));
    }

    #[test]
    fn without_a_threshold_no_healthy_target_means_none() {
        assert_eq!(list(&[false, false], 0), (Usable::Healthy, vec![]));
        assert_eq!(list(&[], 50), (Usable::Healthy, vec![]));
    }
}
