//! A panic as a line of the log, without what it says where that could hold data of
//! a request: the place tells enough to find it.

use std::any::Any;
use std::panic::{Location, set_hook};
use std::thread;

/// Stands for a message that was put together when it happened.
const HIDDEN: &str = "(its message is not shown, as it could hold a secret)";

/// From now on panics are logged, and not printed.
pub fn install() {
    set_hook(Box::new(|panic| {
        let place = panic.location().map(Location::to_string);
        tracing::error!(
            place = place.as_deref().unwrap_or_default(),
            thread = thread::current().name().unwrap_or_default(),
            "a panic, which is a fault of this program: {}",
            words(panic.payload())
        );
    }));
}

/// What stands in the program itself is no secret.
fn words(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or(HIDDEN)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn only_what_stands_in_the_program_is_shown() {
        let payload = |fails: fn()| catch_unwind(fails).unwrap_err();
        assert_eq!(words(&*payload(|| panic!("no reason"))), "no reason");
        let with_data = payload(|| {
            let token = std::hint::black_box("secret");
            panic!("not a number: {token}")
        });
        assert_eq!(words(&*with_data), HIDDEN);
        let of_a_library = payload(|| {
            "secret".parse::<u8>().unwrap();
        });
        assert_eq!(words(&*of_a_library), HIDDEN);
    }
}
