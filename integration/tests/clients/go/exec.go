package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// unscheduled is what an API server says of a pod that is on no node: the answer
// of its own, behind which there is a kubelet only.
const unscheduled = "does not have a host assigned"

// execRefused is turned away by the filter, over each protocol, with its reason.
func execRefused(ctx context.Context, c caller) error {
	return execSays(ctx, c, "--reject-paths")
}

// execAnswered gets the API server's own answer over each protocol.
func execAnswered(ctx context.Context, c caller) error {
	return execSays(ctx, c, unscheduled)
}

func execSays(ctx context.Context, c caller, words string) error {
	if err := pod(ctx, c, "waits", ""); err != nil {
		return err
	}
	options := &corev1.PodExecOptions{Command: []string{"true"}, Stdout: true, Stderr: true}
	at := c.clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(c.namespace).
		Name("waits").SubResource("exec").VersionedParams(options, scheme.ParameterCodec).URL()
	webSocket, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, at.String())
	if err != nil {
		return err
	}
	overSPDY, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, at)
	if err != nil {
		return err
	}
	asKubectl, err := remotecommand.NewFallbackExecutor(webSocket, overSPDY, httpstream.IsUpgradeFailure)
	if err != nil {
		return err
	}
	for name, executor := range map[string]remotecommand.Executor{
		"WebSocket": webSocket, "SPDY": overSPDY, "kubectl": asKubectl,
	} {
		streams := remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}
		if err := says(name, executor.StreamWithContext(ctx, streams), words); err != nil {
			return err
		}
	}
	return nil
}

// portForwardAnswered passes the filter, over each protocol.
func portForwardAnswered(ctx context.Context, c caller) error {
	if err := pod(ctx, c, "waits", ""); err != nil {
		return err
	}
	at := c.clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(c.namespace).
		Name("waits").SubResource("portforward").URL()
	webSocket, err := portforward.NewSPDYOverWebsocketDialer(at, c.config)
	if err != nil {
		return err
	}
	_, _, err = webSocket.Dial(portforward.PortForwardProtocolV1Name)
	if err := says("WebSocket", err, unscheduled); err != nil {
		return err
	}
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return err
	}
	overSPDY := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	_, _, err = overSPDY.Dial(portforward.PortForwardProtocolV1Name)
	return says("SPDY", err, unscheduled)
}

func says(name string, err error, words string) error {
	if err == nil || !strings.Contains(err.Error(), words) {
		return fmt.Errorf("%s: %q, and not %q", name, err, words)
	}
	return nil
}
