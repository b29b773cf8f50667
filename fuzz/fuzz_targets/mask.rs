//! libFuzzer around [`fuzz::mask`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::mask::run(bytes));
