//! The system's randomness, from a seed. All that is drawn comes from it in the end:
//! jitter and identifiers, the order in which `tokio::select!` looks at what is ready,
//! the order of a `HashMap`.
//!
//! A function of that name in the program goes before the C library's, which the
//! standard library counts on for just that. What a process has drawn before has an
//! influence, so that each seed has a process of its own.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on this thread's randomness comes from a seed. To be called before it has
/// drawn any.
pub fn seed_this_thread(seed: u64) {
    STATE.set(Some(seed));
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn fill(buffer: &mut [u8]) -> std::io::Result<()> {
    let Some(mut state) = STATE.get() else {
        return File::open("/dev/urandom")?.read_exact(buffer);
    };
    for chunk in buffer.chunks_mut(8) {
        let random = next(&mut state).to_le_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    STATE.set(Some(state));
    Ok(())
}

/// As getrandom(2) has it.
///
/// # Safety
/// `length` bytes at `buffer` are the caller's to be written.
#[expect(unsafe_code, reason = "stands in for a function of the C library")]
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the bytes are the caller's, who wants them written.
    let buffer = unsafe {
        buffer.write_bytes(0, length);
        std::slice::from_raw_parts_mut(buffer, length)
    };
    match fill(buffer) {
        Ok(()) => isize::try_from(length).unwrap_or(isize::MAX),
        Err(_) => -1,
    }
}
