//! libFuzzer around [`fuzz::strict_http1`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::strict_http1::run(bytes));
