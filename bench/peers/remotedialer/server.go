package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	"github.com/rancher/remotedialer"
)

// Which cluster a caller asks for.
const clusterHeader = "X-Cluster"

// As many as a benchmark has at once: a new connection for each request would be
// measured otherwise.
const idleConnections = 1024

func serve(callers, links, certificate, key, token, upstream string) error {
	tunnels := remotedialer.New(func(request *http.Request) (string, bool, error) {
		name := request.Header.Get(clusterHeader)
		allowed := request.Header.Get("Authorization") == "Bearer "+token
		return name, allowed && name != "", nil
	}, remotedialer.DefaultErrorWriter)

	ended := make(chan error, 2)
	go func() { ended <- http.ListenAndServeTLS(links, certificate, key, tunnels) }()
	go func() { ended <- http.ListenAndServe(callers, relay(tunnels, upstream)) }()
	return <-ended
}

// A relay for each cluster, which keeps its connections.
func relay(tunnels *remotedialer.Server, upstream string) http.Handler {
	target := &url.URL{Scheme: "http", Host: upstream}
	var relays sync.Map
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		name := request.Header.Get(clusterHeader)
		found, there := relays.Load(name)
		if !there {
			dialer := tunnels.Dialer(name)
			one := httputil.NewSingleHostReverseProxy(target)
			// What comes is passed on at once, as watches need.
			one.FlushInterval = -1
			one.Transport = &http.Transport{
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					return dialer(ctx, network, address)
				},
				MaxIdleConns:        idleConnections,
				MaxIdleConnsPerHost: idleConnections,
				DisableCompression:  true,
			}
			found, _ = relays.LoadOrStore(name, one)
		}
		found.(*httputil.ReverseProxy).ServeHTTP(answer, request)
	})
}
