//go:build commands

// Package commands holds the requirements of kind, which the cluster
// for the tests builds; it is never compiled itself.
package commands

import (
	_ "sigs.k8s.io/kind"
)
