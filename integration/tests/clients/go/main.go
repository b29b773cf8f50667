// Command clients calls a Kubernetes API with client-go as programs do that are
// pointed at kubectl proxy: with a host and nothing else.
//
//	clients HOST NAMESPACE CHECK
//
// It ends with 0 if all of the check went as it should. Nothing of what it makes
// is removed, but for what a check is about: the namespace is its own.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// deadline is for all of a check, which takes a second.
const deadline = 30 * time.Second

// caller is what every check is given.
type caller struct {
	config    *rest.Config
	clients   *kubernetes.Clientset
	namespace string
}

var checks = map[string]func(context.Context, caller) error{
	"objects":       objects,
	"watch":         watchObjects,
	"informer":      informer,
	"discovery":     discover,
	"dynamic":       dynamicObjects,
	"logs":          logs,
	"exec-refused":  execRefused,
	"exec-answered": execAnswered,
	"port-forward":  portForwardAnswered,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("usage: clients HOST NAMESPACE CHECK")
	}
	check, known := checks[arguments[2]]
	if !known {
		return fmt.Errorf("no check is called %q", arguments[2])
	}
	config := &rest.Config{Host: arguments[0]}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	return check(ctx, caller{config: config, clients: clients, namespace: arguments[1]})
}
