//! Tasks of the one thread that everything here runs on.

use hyper::rt::Executor;

/// For the tasks that HTTP/2 connections start themselves; they end with the thread.
#[derive(Clone, Copy)]
pub struct Local;

impl<F> Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
