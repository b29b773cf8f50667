//go:build commands

// Package commands holds the requirements of the etcd that the tests and the
// demo build; it is never compiled itself.
package commands

import _ "go.etcd.io/etcd/server/v3"
