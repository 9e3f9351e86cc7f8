pub mod config;
pub fn demo(_args: &crate::cli::DemoArgs) -> crate::Exit {
    crate::Exit::Fine
}
