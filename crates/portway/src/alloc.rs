//! The allocator: the one place that names it.

/// glibc's malloc holds on to what many short exchanges free; this one does not, and is faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
