//go:build commands

// Package commands holds the requirements of apiserver-network-proxy, which the
// benchmark builds; it is never compiled itself.
package commands

import (
	_ "sigs.k8s.io/apiserver-network-proxy/cmd/agent"
	_ "sigs.k8s.io/apiserver-network-proxy/cmd/server"
)
