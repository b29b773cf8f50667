//! libFuzzer around [`fuzz::config`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::config::run(bytes));
