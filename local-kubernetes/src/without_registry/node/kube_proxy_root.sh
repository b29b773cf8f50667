#!/bin/sh
# Copies what kube-proxy calls, iptables and conntrack with all that they load,
# from a Debian root.
#
# kube_proxy_root.sh ROOT TARGET
set -eu
root=$1 target=$2

packages='conntrack iptables libc6 libip4tc2 libip6tc2 libmnl0 libnetfilter-conntrack3
    libnfnetlink0 libnftnl11 libxtables12'
{
    # shellcheck disable=SC2086 # a list of words
    chroot "$root" dpkg-query --listfiles $packages |
        sed -e 's#^/\.*##' -e '/^usr\/share/d' -e '/^$/d' \
            -e 's#^\(bin\|sbin\|lib\|lib64\)/#usr/\1/#'
    # The links that make /lib and /usr/lib one, and those of dpkg's alternatives.
    (cd "$root" && ls -d bin sbin lib lib64 etc/alternatives/ip*tables* usr/sbin/ip*tables*)
} | sort -u > "$target.list"
mkdir "$target"
tar --create --directory "$root" --no-recursion --files-from "$target.list" |
    tar --extract --directory "$target"
rm "$target.list"
