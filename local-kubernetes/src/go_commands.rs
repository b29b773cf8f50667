//! The commands that are built from public Go modules, and what tells one
//! build of them from another.

use std::env::consts::{ARCH, OS};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The oldest Go that builds the modules, as (major, minor): the `go` line of
/// k8s.io/kubernetes.
pub(crate) const OLDEST_GO: (u32, u32) = (1, 26);

/// What Go is told besides the flags of each command. The binaries run on the
/// machine that builds them, without its C library.
pub(crate) const GO_ENVIRONMENT: [(&str, &str); 3] = [
    ("CGO_ENABLED", "0"),
    ("GOFLAGS", "-mod=readonly"),
    ("GOWORK", "off"),
];

/// The build flags that all commands share.
pub(crate) const GO_FLAGS: [&str; 2] = ["-trimpath", "-buildvcs=false"];

/// A Go module of our own: it pins the module that holds the commands, and
/// all that this needs. A new version is written into its `go.mod` (all lines
/// of the `replace` block, too), and `go mod tidy` does the rest.
pub(crate) struct GoModule {
    /// The name of its folder.
    pub(crate) name: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// The module that holds the commands.
    pub(crate) requires: &'static str,
}

/// A command to be built.
pub(crate) struct GoCommand {
    /// The name of the binary.
    pub(crate) name: &'static str,
    pub(crate) module: &'static GoModule,
    pub(crate) package: &'static str,
    /// The Go packages whose `gitVersion`, `gitMajor` and `gitMinor` are set
    /// at link time: what the command says its version is.
    pub(crate) version_packages: &'static [&'static str],
}

pub(crate) static KUBERNETES: GoModule = GoModule {
    name: "kubernetes",
    go_mod: include_str!("../go/kubernetes/go.mod"),
    go_sum: include_str!("../go/kubernetes/go.sum"),
    requires: "k8s.io/kubernetes",
};

pub(crate) static ETCD: GoModule = GoModule {
    name: "etcd",
    go_mod: include_str!("../go/etcd/go.mod"),
    go_sum: include_str!("../go/etcd/go.sum"),
    requires: "go.etcd.io/etcd/server/v3",
};

pub(crate) static KIND: GoModule = GoModule {
    name: "kind",
    go_mod: include_str!("../go/kind/go.mod"),
    go_sum: include_str!("../go/kind/go.sum"),
    requires: "sigs.k8s.io/kind",
};

static HELM: GoModule = GoModule {
    name: "helm",
    go_mod: include_str!("../go/helm/go.mod"),
    go_sum: include_str!("../go/helm/go.sum"),
    requires: "helm.sh/helm/v4",
};

/// Where Kubernetes' own commands keep their version.
pub(crate) const COMPONENT_VERSION: &[&str] = &["k8s.io/component-base/version"];

/// What a control plane consists of.
pub(crate) static CONTROL_PLANE: [GoCommand; 3] = [
    GoCommand {
        name: "kube-apiserver",
        module: &KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        version_packages: COMPONENT_VERSION,
    },
    GoCommand {
        name: "etcd",
        module: &ETCD,
        package: "go.etcd.io/etcd/server/v3",
        version_packages: &[],
    },
    GoCommand {
        name: "kubectl",
        module: &KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kubectl",
        version_packages: &[
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ],
    },
];

/// What makes clusters whose nodes are containers.
pub(crate) static KIND_COMMAND: [GoCommand; 1] = [GoCommand {
    name: "kind",
    module: &KIND,
    package: "sigs.k8s.io/kind",
    version_packages: &[],
}];

/// What installs charts.
pub(crate) static HELM_COMMAND: [GoCommand; 1] = [GoCommand {
    name: "helm",
    module: &HELM,
    package: "helm.sh/helm/v4/cmd/helm",
    version_packages: &[],
}];

impl GoModule {
    /// The version that go.mod requires of the module with the commands, for
    /// example `v1.36.3`.
    pub(crate) fn version(&self) -> Result<&'static str> {
        self.go_mod
            .lines()
            .filter_map(|line| line.strip_prefix("require "))
            .filter_map(|requirement| requirement.split_once(' '))
            .find(|(module, _)| *module == self.requires)
            .map(|(_, version)| version.trim())
            .with_context(|| format!("go/{}/go.mod does not require {}", self.name, self.requires))
    }
}

impl GoCommand {
    /// The value of `-ldflags`: no symbol table, and the version.
    pub(crate) fn linker_flags(&self) -> Result<String> {
        let version = self.module.version()?;
        let mut numbers = version.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        let mut flags = "-s -w".to_owned();
        for package in self.version_packages {
            flags.push_str(&format!(
                " -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
            ));
        }
        Ok(flags)
    }
}

/// The name under which a build of `commands` is kept. It differs whenever
/// the binaries could differ: by version, dependency, flag or machine.
pub(crate) fn cache_key(commands: &[GoCommand]) -> Result<String> {
    let mut versions: Vec<String> = Vec::new();
    let mut hash = Sha256::new();
    for command in commands {
        let module = command.module;
        let version = format!("{}-{}", module.name, module.version()?);
        if !versions.contains(&version) {
            versions.push(version);
        }
        let linker_flags = command.linker_flags()?;
        for part in [
            command.name,
            command.package,
            module.go_mod,
            module.go_sum,
            &linker_flags,
        ] {
            // The length keeps neighbours apart.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    for (name, value) in GO_ENVIRONMENT {
        hash.update(format!("{name}={value}\n"));
    }
    for flag in GO_FLAGS {
        hash.update(format!("{flag}\n"));
    }
    // 48 bits: enough to tell the few builds on one machine apart.
    let digest = HEXLOWER.encode(&hash.finalize()[..6]);
    Ok(format!("{}-{OS}-{ARCH}-{digest}", versions.join("-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(go_mod: &'static str, go_sum: &'static str) -> GoCommand {
        let module = Box::leak(Box::new(GoModule {
            name: "kubernetes",
            go_mod,
            go_sum,
            requires: "k8s.io/kubernetes",
        }));
        GoCommand {
            name: "kubectl",
            module,
            package: "k8s.io/kubernetes/cmd/kubectl",
            version_packages: &["a/version"],
        }
    }

    #[test]
    fn the_version_comes_from_go_mod() {
        let command = command("module x\n\nrequire k8s.io/kubernetes v1.40.2\n", "");
        assert_eq!(command.module.version().unwrap(), "v1.40.2");
        assert_eq!(
            command.linker_flags().unwrap(),
            "-s -w -X a/version.gitVersion=v1.40.2 -X a/version.gitMajor=1 -X a/version.gitMinor=40"
        );
    }

    #[test]
    fn a_go_mod_without_the_requirement_is_an_error() {
        let error = command("module x\n", "").module.version().unwrap_err();
        assert_eq!(
            error.to_string(),
            "go/kubernetes/go.mod does not require k8s.io/kubernetes"
        );
    }

    #[test]
    fn the_key_names_versions_and_machine() {
        let key = cache_key(&CONTROL_PLANE).unwrap();
        let start = format!(
            "kubernetes-{}-etcd-{}-{OS}-{ARCH}-",
            KUBERNETES.version().unwrap(),
            ETCD.version().unwrap()
        );
        assert_eq!(key.strip_prefix(&start).map(str::len), Some(12), "{key}");
    }

    #[test]
    fn the_key_changes_with_every_input() {
        let required = "require k8s.io/kubernetes v1.36.3\n";
        let key = |command: GoCommand| cache_key(&[command]).unwrap();
        let base = key(command(required, "sum"));
        assert_eq!(key(command(required, "sum")), base);
        assert_ne!(key(command(required, "other sum")), base);
        assert_ne!(
            key(command("require k8s.io/kubernetes v1.36.4\n", "sum")),
            base
        );
        let mut renamed = command(required, "sum");
        renamed.package = "k8s.io/kubernetes/cmd/kubelet";
        assert_ne!(key(renamed), base);
    }
}
