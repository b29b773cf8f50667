//go:build commands

// Package commands holds the requirements of frp, which the benchmark builds; it is
// never compiled itself.
package commands

import (
	_ "github.com/fatedier/frp/cmd/frpc"
	_ "github.com/fatedier/frp/cmd/frps"
)
