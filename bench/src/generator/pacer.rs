//! A clock that ticks at a rate, to tens of microseconds: the runtime's own goes by
//! milliseconds, which would be most of a small request's latency.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Gives the moments at which something is due, one after the other.
pub struct Pacer {
    timer: AsyncFd<OwnedFd>,
    interval: Duration,
    next: Instant,
}

impl Pacer {
    /// The first moment is one interval from now.
    pub fn start(per_second: f64) -> Result<Self> {
        let interval = Duration::from_secs_f64(1.0 / per_second);
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Before the timer starts: it never goes off before something is due.
        let next = Instant::now() + interval;
        let spec = Timespec {
            tv_sec: interval.as_secs().try_into()?,
            tv_nsec: interval.subsec_nanos().into(),
        };
        let spec = Itimerspec {
            it_interval: spec,
            it_value: spec,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
        #[expect(
            deprecated,
            reason = "what it lacks is the promise that the descriptor stays open, which an \
                      OwnedFd gives; what takes its place is unsafe code"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self {
            timer,
            interval,
            next,
        })
    }

    /// Waits for the next moment and returns it; one that has passed at once.
    pub async fn due(&mut self) -> Result<Instant> {
        while Instant::now() < self.next {
            let mut ready = self.timer.readable().await?;
            // How often it has gone off since, which the clock says as well.
            let mut count = [0_u8; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?));
            if let Ok(read) = read {
                read?;
            }
        }
        let due = self.next;
        self.next += self.interval;
        Ok(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn moments_are_an_interval_apart_and_have_passed() {
        let started = Instant::now();
        let mut pacer = Pacer::start(2000.0).unwrap();
        let mut last = started;
        for _ in 0..20 {
            let due = pacer.due().await.unwrap();
            assert!(Instant::now() >= due);
            assert!(due > last);
            last = due;
        }
        assert!(last.duration_since(started) >= Duration::from_millis(10));
    }
}
