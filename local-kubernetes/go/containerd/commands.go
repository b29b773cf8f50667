//go:build commands

// Package commands holds the requirements of containerd, which the cluster
// for the tests builds; it is never compiled itself.
package commands

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
