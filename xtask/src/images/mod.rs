//! `cargo xtask images`: container images of the three programs, built without a
//! container engine.

mod binaries;
mod certificates;
#[cfg(test)]
mod containerfile;
mod elf;
mod labels;
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use image_archive::{Architecture, Config, Content, Image, Layer, Written};

use crate::cargo::workspace;
use labels::Labels;
use program::{PROGRAMS, Program};

/// A numeric user, so that a kubelet sees that it is not root.
const USER: &str = "65532:65532";

/// Arguments of `cargo xtask images`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Leave each image's files in a folder, as the Containerfile takes them
    #[arg(long)]
    unpacked: bool,
}

pub(crate) fn run(args: ImagesArgs) -> Result<()> {
    if args.unpacked {
        return unpack();
    }
    for image in build()? {
        println!("{} {} {}", image.path.display(), image.size, image.digest);
    }
    Ok(())
}

/// Where images are kept.
fn folder() -> PathBuf {
    workspace().join("target/images")
}

/// Builds all images into `target/images/<name>.tar`.
pub(crate) fn build() -> Result<Vec<Written>> {
    let binaries = binaries::build()?;
    let labels = Labels::read()?;
    PROGRAMS
        .iter()
        .map(|program| {
            let path = folder().join(format!("{}.tar", program.name));
            write(program, &binaries.join(program.name), &labels, &path)
        })
        .collect()
}

/// Writes an image, which must be as small as it is meant to be.
fn write(program: &Program, binary: &Path, labels: &Labels, path: &Path) -> Result<Written> {
    let written = image(program, binary, labels)?.write(path)?;
    ensure!(
        written.size <= program.limit,
        "{} has {} bytes, and its limit is {}",
        path.display(),
        written.size,
        program.limit
    );
    Ok(written)
}

fn image(program: &Program, binary: &Path, labels: &Labels) -> Result<Image> {
    let mut layer = Layer::new();
    for (path, content, mode) in files(program, binary) {
        layer.file(path, content, mode)?;
    }
    Ok(Image {
        reference: format!("culvert/{}:{}", program.name, labels.version()).parse()?,
        config: Config {
            architecture: Architecture::Amd64,
            user: USER.to_owned(),
            entrypoint: vec![program.path()],
            exposed_ports: program.exposed_ports(),
            labels: labels.of(program.name)?,
            ..Config::default()
        },
        layers: vec![layer],
        time: image_archive::source_date_epoch(),
    })
}

/// An image's files: nothing but the binary, and whom it trusts.
fn files(program: &Program, binary: &Path) -> Vec<(String, Content, u32)> {
    let mut files = vec![(program.path(), Content::File(binary.to_owned()), 0o755)];
    if program.dials_public_servers {
        let roots = Content::Bytes(certificates::pem().into_bytes());
        files.push((certificates::PATH.to_owned(), roots, 0o644));
    }
    files
}

/// Where an image's files are left.
fn unpacked(program: &Program) -> PathBuf {
    folder().join("unpacked").join(program.name)
}

/// Leaves each image's files in a folder.
fn unpack() -> Result<()> {
    let binaries = binaries::build()?;
    for program in &PROGRAMS {
        let root = unpacked(program);
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        }
        for (path, content, mode) in files(program, &binaries.join(program.name)) {
            unpack_file(&root.join(path.trim_start_matches('/')), content, mode)?;
        }
        println!("{}", root.display());
    }
    Ok(())
}

fn unpack_file(path: &Path, content: Content, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let unpacked = || path.display().to_string();
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(unpacked)?;
    match content {
        Content::Bytes(bytes) => fs::write(path, bytes).with_context(unpacked)?,
        Content::File(source) => {
            fs::copy(source, path).with_context(unpacked)?;
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(binary: &Path) -> Vec<Image> {
        let labels = Labels::read().unwrap();
        PROGRAMS
            .iter()
            .map(|program| image(program, binary, &labels).unwrap())
            .collect()
    }

    #[test]
    fn an_image_holds_its_binary_and_whom_it_trusts() {
        let binary = tempfile::NamedTempFile::new().unwrap();
        let files: Vec<Vec<_>> = images(binary.path())
            .iter()
            .map(|image| image.layers[0].paths().map(Path::to_owned).collect())
            .collect();
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let expected = [
            paths(&["usr", "usr/bin", "usr/bin/proxy-sidecar"]),
            paths(&[
                "etc",
                "etc/ssl",
                "etc/ssl/certs",
                "etc/ssl/certs/ca-certificates.crt",
                "usr",
                "usr/bin",
                "usr/bin/tunnel-client",
            ]),
            paths(&["usr", "usr/bin", "usr/bin/tunnel-server"]),
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn the_same_binary_gives_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("binary");
        fs::write(&binary, "binary").unwrap();
        let archives = || -> Vec<Vec<u8>> {
            images(&binary)
                .iter()
                .map(|image| {
                    let path = folder.path().join("image.tar");
                    image.write(&path).unwrap();
                    fs::read(path).unwrap()
                })
                .collect()
        };
        assert!(archives() == archives());
    }

    #[test]
    fn an_image_that_is_too_large_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("binary");
        let path = folder.path().join("image.tar");
        let labels = Labels::read().unwrap();
        let program = &PROGRAMS[0];
        let write = |size| {
            fs::File::create(&binary).unwrap().set_len(size).unwrap();
            write(program, &binary, &labels, &path)
        };
        let error = write(program.limit).unwrap_err();
        assert!(error.to_string().contains("limit is 14000000"), "{error}");
        write(program.limit - 100_000).unwrap();
    }
}
