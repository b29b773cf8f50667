//go:build commands

// Package commands holds the requirements of chisel, which the benchmark builds; it
// is never compiled itself.
package commands

import (
	_ "github.com/jpillora/chisel"
)
