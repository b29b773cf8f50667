//! libFuzzer around [`fuzz::headers`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::headers::run(bytes));
