//! The system's clocks, as whoever steps the simulation sets them. tokio's are simulated
//! without it; h2 reads the system's, to forget streams that it has reset.
//!
//! A function of that name in the program goes before the C library's.

use std::cell::Cell;
use std::time::Duration;

/// So that nobody goes back to before the beginning.
const STARTED: Duration = Duration::from_secs(1_000_000);
/// The most that the calendar's clock may be put forward or back.
pub const LONGEST_JUMP: Duration = Duration::from_secs(900_000);

thread_local! {
    static ELAPSED: Cell<Option<Duration>> = const { Cell::new(None) };
    static JUMPED: Cell<i64> = const { Cell::new(0) };
}

/// The calendar's clock is wrong by so many seconds from now on, at most
/// [`LONGEST_JUMP`]; who measures time does not see it.
pub fn jump_on_this_thread(seconds: i64) {
    JUMPED.set(seconds);
}

/// From now on so much has passed on this thread since the simulation began.
pub fn set_on_this_thread(elapsed: Duration) {
    ELAPSED.set(Some(elapsed));
}

/// As clock_gettime(2) has it.
///
/// # Safety
/// `time` is the caller's to be written.
#[expect(unsafe_code, reason = "stands in for a function of the C library")]
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    let is_simulated = matches!(clock, libc::CLOCK_MONOTONIC | libc::CLOCK_REALTIME);
    let Some(elapsed) = ELAPSED.get().filter(|_| is_simulated) else {
        // SAFETY: the arguments are the caller's, who has promised what it wants.
        let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return if done == 0 { 0 } else { -1 };
    };
    let mut now = STARTED + elapsed;
    if clock == libc::CLOCK_REALTIME {
        let jumped = JUMPED.get();
        let by = Duration::from_secs(jumped.unsigned_abs()).min(LONGEST_JUMP);
        now = if jumped < 0 { now - by } else { now + by };
    }
    // SAFETY: the place is the caller's, who wants it written.
    unsafe {
        time.write(libc::timespec {
            tv_sec: libc::time_t::try_from(now.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(now.subsec_nanos() as i32),
        });
    }
    0
}
