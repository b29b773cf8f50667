//go:build commands

// Package commands holds the requirements of the CNI plugins, which the cluster
// for the tests builds; it is never compiled itself.
package commands

import (
	_ "github.com/containernetworking/plugins/plugins/ipam/host-local"
	_ "github.com/containernetworking/plugins/plugins/main/loopback"
	_ "github.com/containernetworking/plugins/plugins/main/ptp"
	_ "github.com/containernetworking/plugins/plugins/meta/portmap"
)
