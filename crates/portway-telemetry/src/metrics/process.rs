//! What the kernel says about this process, read at scrape time from `/proc`.
//!
//! Must hold: a number that cannot be read is left out, never guessed. On a system without `/proc`
//! there are none. Sources: proc_pid_stat(5), proc_pid_status(5), proc_pid_limits(5), proc_stat(5).

use super::gather::Gather;
use super::name::Metric;
use std::fs;

/// Ticks of `/proc/self/stat` in a second. The kernel converts to this `USER_HZ` for user space
/// whatever its own rate is; it has been 100 on every architecture Rust's std supports.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn gather(out: &mut Gather) {
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        if let Some(cpu) = cpu_seconds(&stat) {
            out.real_counter(Metric::ProcessCpu, cpu);
        }
        let boot = fs::read_to_string("/proc/stat");
        if let Some(start) = boot.ok().and_then(|boot| start_seconds(&stat, &boot)) {
            out.gauge(Metric::ProcessStart, &[], start);
        }
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status")
        && let Some(kib) = number_after(&status, "VmRSS:")
    {
        out.gauge(Metric::ProcessMemory, &[], kib * 1024.0);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // Reading the directory needs a descriptor of its own.
        let open = open.count().saturating_sub(1);
        out.gauge(Metric::ProcessOpenFds, &[], open as f64);
    }
    if let Ok(limits) = fs::read_to_string("/proc/self/limits")
        && let Some(max) = number_after(&limits, "Max open files")
    {
        out.gauge(Metric::ProcessMaxFds, &[], max);
    }
}

/// Field `number` (from 1, as the manual counts) of a stat line. The command, field 2, may hold
/// blanks and parentheses, so counting starts after its last one.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_command) = stat.rsplit_once(')')?;
    let field = after_command.split_ascii_whitespace().nth(number - 3)?;
    field.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let user = stat_field(stat, 14)?;
    let system = stat_field(stat, 15)?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, boot: &str) -> Option<f64> {
    let booted = number_after(boot, "btime")?;
    Some(booted + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

/// The first number of the line that starts with `key`.
fn number_after(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "1 (a) b (c) S 1 2 3 0 -1 0 0 0 0 0 150 50 0 0 20 0 4 0 1000 0 0";

    #[test]
    fn a_command_with_parentheses_does_not_shift_the_fields() {
        assert_eq!(cpu_seconds(STAT), Some(2.0));
        assert_eq!(
            start_seconds(STAT, "cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_010.0)
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(cpu_seconds("garbage"), None);
        assert_eq!(start_seconds(STAT, ""), None);
        assert_eq!(
            number_after("Max open files unlimited", "Max open files"),
            None
        );
    }
}
