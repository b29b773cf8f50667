//! The images that the tests need in the cluster and beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image_archive::{Config, Content, Image, Layer};

pub(crate) const SERVER: (&str, &str) = ("culvert/tunnel-server", env!("CARGO_PKG_VERSION"));
/// A shell with the usual tools, for workloads.
pub(crate) const SHELL: &str = "culvert/test-shell:1";

/// The archive of one of our images, as `cargo xtask images` leaves it: in the
/// checkout, wherever cargo builds to.
pub(crate) fn ours(name: &str) -> Result<PathBuf> {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/images");
    let path = images.join(format!("{name}.tar"));
    ensure!(
        path.is_file(),
        "{} is not there: run `cargo xtask images` first, or `cargo xtask test`",
        path.display()
    );
    Ok(path)
}

/// Writes [`SHELL`]: busybox, under each of its names.
pub(crate) fn write_shell(folder: &Path) -> Result<PathBuf> {
    let busybox = Path::new("/bin/busybox");
    let list = std::process::Command::new(busybox)
        .arg("--list")
        .output()
        .context("/bin/busybox is not there (Debian: busybox-static)")?;
    let mut layer = Layer::new();
    layer.file("bin/busybox", Content::File(busybox.to_owned()), 0o755)?;
    for applet in String::from_utf8(list.stdout)?.lines() {
        if applet != "busybox" {
            layer.symlink(format!("bin/{applet}"), "busybox")?;
        }
    }
    layer.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
    layer.directory("tmp", 0o1777)?;
    layer.directory("root", 0o700)?;
    let image = Image {
        reference: SHELL.parse()?,
        config: Config {
            environment: [("PATH".to_owned(), "/bin".to_owned())].into(),
            entrypoint: vec!["/bin/sh".to_owned()],
            ..Config::default()
        },
        layers: vec![layer],
        time: 0,
    };
    let path = folder.join("test-shell.tar");
    image.write(&path)?;
    Ok(path)
}
