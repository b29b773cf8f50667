package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// logs follows a pod's log, each line of which is written only when the one
// before has arrived.
func logs(ctx context.Context, c caller) error {
	lines := make(chan string)
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/containerLogs/"+c.namespace+"/talks/only" || r.URL.Query().Get("follow") != "true" {
			http.Error(w, r.URL.String(), http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for line := range lines {
			fmt.Fprintln(w, line)
			w.(http.Flusher).Flush()
		}
	}))
	defer kubelet.Close()
	node, err := nodeAt(ctx, c, kubelet.URL)
	if err != nil {
		return err
	}
	if err := pod(ctx, c, "talks", node); err != nil {
		return err
	}
	options := &corev1.PodLogOptions{Follow: true}
	stream, err := c.clients.CoreV1().Pods(c.namespace).GetLogs("talks", options).Stream(ctx)
	if err != nil {
		close(lines)
		return err
	}
	defer stream.Close()
	read := bufio.NewScanner(stream)
	for number := range 5 {
		line := fmt.Sprintf("line %d", number)
		lines <- line
		if !read.Scan() || read.Text() != line {
			close(lines)
			return fmt.Errorf("%q instead of %q: %w", read.Text(), line, read.Err())
		}
	}
	close(lines)
	if read.Scan() || read.Err() != nil {
		return fmt.Errorf("after the end: %q, %w", read.Text(), read.Err())
	}
	return nil
}

// nodeAt makes a node whose kubelet is at the URL.
func nodeAt(ctx context.Context, c caller, kubelet string) (string, error) {
	at, err := url.Parse(kubelet)
	if err != nil {
		return "", err
	}
	host, text, err := net.SplitHostPort(at.Host)
	if err != nil {
		return "", err
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return "", err
	}
	nodes := c.clients.CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.namespace}}
	if node, err = nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return node.Name, err
}
