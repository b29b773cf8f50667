mod deadline;
mod generated;
mod listed;
mod reader;
mod server;

use super::framer::{Framer, Refused};
use super::head::VISIBLE;

/// What becomes of these bytes, whole or in pieces that end at `cuts`.
fn verdict(bytes: &[u8], cuts: &[usize]) -> Result<(), Refused> {
    let mut framer = Framer::new(&VISIBLE);
    let mut taken = 0;
    let ends = cuts.iter().copied().filter(|cut| *cut <= bytes.len());
    for end in ends.chain([bytes.len()]) {
        if end > taken {
            framer.take(&bytes[taken..end]).map_err(|refused| Refused {
                good: taken + refused.good,
                ..refused
            })?;
            taken = end;
        }
    }
    Ok(())
}
