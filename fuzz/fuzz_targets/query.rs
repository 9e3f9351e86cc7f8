#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portway_fuzz::query::check(data));
