//! What it was measured on.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Texts as the system gives them; what it does not give is empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory: String,
    pub kernel: String,
    pub system: String,
    /// What runs the kernel, where it runs in a virtual machine.
    pub hypervisor: String,
    pub clock: String,
    /// Processes that wanted to run, over 1, 5 and 15 minutes, before the run.
    pub load: String,
    pub rust: String,
    pub go: String,
    pub node: String,
    pub openssh: String,
    /// The checkout, and whether it had changes.
    pub commit: String,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let commit = said(
            "git",
            &[
                "-C",
                env!("CARGO_MANIFEST_DIR"),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
            ],
        );
        Self {
            processor: field(&cpuinfo, "model name"),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory: field(&read("/proc/meminfo"), "MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease"),
            system: field(&read("/etc/os-release").replace('=', ":"), "PRETTY_NAME")
                .trim_matches('"')
                .to_owned(),
            hypervisor: if field(&cpuinfo, "flags")
                .split(' ')
                .any(|flag| flag == "hypervisor")
            {
                // Its name, where the machine says one.
                let name = read("/sys/class/dmi/id/sys_vendor");
                format!("yes {name}").trim_end().to_owned()
            } else {
                String::new()
            },
            clock: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            load: read("/proc/loadavg")
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
            rust: said("rustc", &["--version"]),
            go: said("go", &["version"]),
            node: said("node", &["--version"]),
            // It says it on its standard error.
            openssh: said("sh", &["-c", "ssh -V 2>&1"]),
            commit,
        }
    }

    /// Names and texts, for a table.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let Self {
            processor,
            processors,
            memory,
            kernel,
            system,
            hypervisor,
            clock,
            load,
            rust,
            go,
            node,
            openssh,
            commit,
        } = self.clone();
        let lines = vec![
            ("processor", format!("{processors} × {processor}")),
            ("memory", memory),
            ("kernel", kernel),
            ("system", system),
            ("virtual machine", hypervisor),
            ("clock source", clock),
            ("load before", load),
            ("Rust", rust),
            ("Go", go),
            ("Node.js", node),
            ("OpenSSH", openssh),
            ("Culvert", commit),
        ];
        lines
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    text.trim().to_owned()
}

/// The value of the first line `NAME : VALUE`.
fn field(text: &str, name: &str) -> String {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(own, _)| own.trim() == name);
    found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "a\t: 1\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(field(text, "model name"), "Some CPU @ 2 GHz");
        assert_eq!(field(text, "none"), "");
        assert!(Machine::read().processors > 0);
    }
}
