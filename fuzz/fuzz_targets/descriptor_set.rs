#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portway_fuzz::descriptor_set::check(data));
