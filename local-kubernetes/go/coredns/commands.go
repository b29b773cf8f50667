//go:build commands

// Package commands holds the requirements of coredns, which the cluster
// for the tests builds; it is never compiled itself.
package commands

import (
	_ "github.com/coredns/coredns"
)
