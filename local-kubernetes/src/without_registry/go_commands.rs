//! What a node runs, as commands of public Go modules.

use crate::go_commands::{COMPONENT_VERSION, ETCD, GoCommand, GoModule, KUBERNETES};

static CONTAINERD: GoModule = GoModule {
    name: "containerd",
    go_mod: include_str!("../../go/containerd/go.mod"),
    go_sum: include_str!("../../go/containerd/go.sum"),
    requires: "github.com/containerd/containerd/v2",
};

static CNI_PLUGINS: GoModule = GoModule {
    name: "cni-plugins",
    go_mod: include_str!("../../go/cni-plugins/go.mod"),
    go_sum: include_str!("../../go/cni-plugins/go.sum"),
    requires: "github.com/containernetworking/plugins",
};

pub(super) static COREDNS: GoModule = GoModule {
    name: "coredns",
    go_mod: include_str!("../../go/coredns/go.mod"),
    go_sum: include_str!("../../go/coredns/go.sum"),
    requires: "github.com/coredns/coredns",
};

/// All of them. The control plane's own are built again for the node: they come
/// from the module that they share, so Go only links them.
pub(super) static NODE: [GoCommand; 16] = [
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    kubernetes("kubeadm", "k8s.io/kubernetes/cmd/kubeadm"),
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    other("etcd", &ETCD, "go.etcd.io/etcd/server/v3"),
    other("coredns", &COREDNS, "github.com/coredns/coredns"),
    other(
        "containerd",
        &CONTAINERD,
        "github.com/containerd/containerd/v2/cmd/containerd",
    ),
    other(
        "containerd-shim-runc-v2",
        &CONTAINERD,
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    ),
    other(
        "ctr",
        &CONTAINERD,
        "github.com/containerd/containerd/v2/cmd/ctr",
    ),
    other(
        "ptp",
        &CNI_PLUGINS,
        "github.com/containernetworking/plugins/plugins/main/ptp",
    ),
    other(
        "loopback",
        &CNI_PLUGINS,
        "github.com/containernetworking/plugins/plugins/main/loopback",
    ),
    other(
        "host-local",
        &CNI_PLUGINS,
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
    ),
    other(
        "portmap",
        &CNI_PLUGINS,
        "github.com/containernetworking/plugins/plugins/meta/portmap",
    ),
];

const fn kubernetes(name: &'static str, package: &'static str) -> GoCommand {
    GoCommand {
        name,
        module: &KUBERNETES,
        package,
        version_packages: COMPONENT_VERSION,
    }
}

const fn other(name: &'static str, module: &'static GoModule, package: &'static str) -> GoCommand {
    GoCommand {
        name,
        module,
        package,
        version_packages: &[],
    }
}
