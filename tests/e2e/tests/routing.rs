//! Which route an exchange takes, and what the route does with it.

mod local;
mod matching;
mod rewriting;
mod shares;
