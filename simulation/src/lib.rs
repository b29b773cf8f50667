//! tunnel-server and tunnel-client on a simulated network: the same seed is the same
//! course of events. `tests/seeds` holds what happens there; here is what makes it
//! repeatable.

pub mod clock;
pub mod seeded;
