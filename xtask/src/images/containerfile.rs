//! The Containerfile says the same as the images that are written here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::labels::{Labels, REVISION};
use super::program::PROGRAMS;
use crate::cargo::workspace;

/// What a stage of a Containerfile makes.
#[derive(Debug, Default, PartialEq)]
struct Stage {
    base: String,
    copied: Vec<String>,
    commands: Vec<String>,
    user: String,
    entrypoint: Vec<String>,
    exposed_ports: BTreeSet<String>,
    labels: BTreeMap<String, String>,
}

/// The stages by name.
fn stages() -> Result<BTreeMap<String, Stage>> {
    let text = std::fs::read_to_string(workspace().join("Containerfile"))?;
    let lines = text.lines().map(str::trim);
    let mut stages = BTreeMap::new();
    let mut current = String::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (instruction, rest) = line.split_once(' ').context("an instruction alone")?;
        if instruction == "FROM" {
            let (base, name) = rest.split_once(" AS ").context("a stage without a name")?;
            let base = base.trim_start_matches("--platform=linux/amd64 ");
            name.clone_into(&mut current);
            let stage = Stage {
                base: base.to_owned(),
                ..Stage::default()
            };
            stages.insert(current.clone(), stage);
        } else {
            let stage = stages.get_mut(&current).context("no FROM")?;
            stage
                .instruct(instruction, rest)
                .with_context(|| line.to_owned())?;
        }
    }
    Ok(stages)
}

impl Stage {
    fn instruct(&mut self, instruction: &str, rest: &str) -> Result<()> {
        match instruction {
            "COPY" => self.copied.push(rest.to_owned()),
            "RUN" | "WORKDIR" => self.commands.push(rest.to_owned()),
            "USER" => rest.clone_into(&mut self.user),
            "ENTRYPOINT" => self.entrypoint = serde_json::from_str(rest)?,
            "EXPOSE" => self.exposed_ports = rest.split(' ').map(str::to_owned).collect(),
            "LABEL" => {
                let (name, value) = rest.split_once('=').context("a label without a value")?;
                let value = serde_json::from_str(value)?;
                self.labels.insert(name.to_owned(), value);
            }
            _ => bail!("an instruction that this test does not know"),
        }
        Ok(())
    }
}

#[test]
fn each_stage_is_as_its_image() -> Result<()> {
    let mut stages = stages()?;
    let build = stages.remove("build").context("no stage builds")?;
    let rust = format!("docker.io/library/rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(build.base.starts_with(&rust), "{}", build.base);
    assert_eq!(build.copied, [". ."]);
    assert_eq!(
        build.commands,
        ["/culvert", "cargo xtask images --unpacked"]
    );

    let labels = Labels::read()?;
    let expected = PROGRAMS.iter().map(|program| {
        let image = super::image(program, Path::new(program.name), &labels)?;
        let unpacked = super::unpacked(program);
        let unpacked = Path::new("/culvert").join(unpacked.strip_prefix(workspace())?);
        let mut labels = image.config.labels;
        // Builders of containers know no commit.
        labels.remove(REVISION);
        let stage = Stage {
            base: "scratch".to_owned(),
            copied: vec![format!("--from=build {}/ /", unpacked.display())],
            commands: Vec::new(),
            user: image.config.user,
            entrypoint: image.config.entrypoint,
            exposed_ports: image.config.exposed_ports,
            labels,
        };
        Ok((program.name.to_owned(), stage))
    });
    assert_eq!(stages, expected.collect::<Result<_>>()?);
    Ok(())
}
