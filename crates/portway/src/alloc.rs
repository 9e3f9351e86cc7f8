//! The allocator: the one place that names it, and says which pages it gets.

use nix::sys::prctl;

/// glibc's malloc holds on to what many short exchanges free; this one does not, and is faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asks the kernel for small pages alone, for this process and those it starts. A huge page (2 MiB) stays as a
/// whole for one small thing in it: with them a gateway of few routes took twice the memory, and an exchange cost
/// the same (`docs/adr/0008`).
pub fn refuse_huge_pages() {
    // A kernel that knows no such request has no huge pages of this kind.
    let _ = prctl::set_thp_disable(true);
}
