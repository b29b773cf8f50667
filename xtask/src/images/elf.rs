//! What a binary needs from the system that runs it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::{ET_DYN, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// Makes sure that a binary runs where nothing else is, at any address.
pub(crate) fn ensure_static_pie(path: &Path) -> Result<()> {
    let shown = path.display();
    let binary = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let header = FileHeader64::<Endianness>::parse(binary.as_slice())
        .with_context(|| format!("{shown} is no binary"))?;
    let endian = header.endian()?;
    ensure!(
        header.e_type(endian) == ET_DYN,
        "{shown} runs at a fixed address"
    );
    let segments = header.program_headers(endian, binary.as_slice())?;
    ensure!(
        segments
            .iter()
            .all(|segment| segment.p_type(endian) != PT_INTERP),
        "{shown} is not static: it needs a dynamic linker"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_needs_a_linker_is_refused() {
        let error = ensure_static_pie(&std::env::current_exe().unwrap()).unwrap_err();
        assert!(error.to_string().contains("not static"), "{error}");
    }
}
