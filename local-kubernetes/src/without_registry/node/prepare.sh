#!/bin/sh
# Makes a kind node of a Debian root: what kind's own node image has, without
# what would have to be downloaded ready-made.
#
# prepare.sh ROOT KIND_FILES BINARIES CONFIGURATION
#   ROOT           a fresh Debian root, made by debootstrap
#   KIND_FILES     images/base/files of kind's Go module
#   BINARIES       the folder with the commands that were built
#   CONFIGURATION  the folder with containerd.toml, cni.conflist, containerd.service.conf
set -eu
root=$1 kind_files=$2 binaries=$3 configuration=$4

# Files of a Go module are read-only and not executable.
cp -R --no-preserve=mode "$kind_files/." "$root/"
chmod 0755 "$root"/kind/bin/* "$root/usr/local/bin/entrypoint"
rm -f "$root/usr/local/bin/clean-install"

install -m 0755 -t "$root/usr/bin" "$binaries/kubeadm" "$binaries/kubelet" "$binaries/kubectl"
install -m 0755 -t "$root/usr/local/bin" \
    "$binaries/containerd" "$binaries/containerd-shim-runc-v2" "$binaries/ctr"
install -d "$root/opt/cni/bin" "$root/etc/cni/net.d" "$root/etc/kubernetes/manifests" \
    "$root/etc/systemd/system/containerd.service.d" "$root/kind/manifests"
for plugin in ptp loopback host-local portmap; do
    install -m 0755 -t "$root/opt/cni/bin" "$binaries/$plugin"
done

install -m 0644 "$configuration/containerd.toml" "$root/etc/containerd/config.toml"
install -m 0644 "$configuration/cni.conflist" "$root/etc/cni/net.d/10-culvert.conflist"
install -m 0644 "$configuration/containerd.service.conf" \
    "$root/etc/systemd/system/containerd.service.d/10-culvert.conf"
"$binaries/ctr" oci spec |
    chroot "$root" jq 'del(.process.rlimits)
        | .hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}]' \
    > "$root/etc/containerd/cri-base.json"
printf '%s' "$("$binaries/kubelet" --version | cut -d ' ' -f 2)" > "$root/kind/version"

# Of systemd only what runs the kubelet and containerd.
rm -f "$root"/lib/systemd/system/multi-user.target.wants/* \
    "$root"/etc/systemd/system/*.wants/* \
    "$root"/lib/systemd/system/local-fs.target.wants/* \
    "$root"/lib/systemd/system/sockets.target.wants/*udev* \
    "$root"/lib/systemd/system/sockets.target.wants/*initctl* \
    "$root"/lib/systemd/system/basic.target.wants/* \
    "$root"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
echo 'ReadKMsg=no' >> "$root/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$root/sbin/init"
systemctl --root "$root" --quiet enable kubelet.service containerd.service undo-mount-hacks.service
systemctl --root "$root" --quiet mask systemd-binfmt.service

# What the node makes anew, and what nobody reads there.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
    "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/locale "$root"/dev
install -d "$root/dev"
: > "$root/etc/machine-id"
