//go:build commands

// Package commands holds the requirements of helm, which the cluster
// for the tests builds; it is never compiled itself.
package commands

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
