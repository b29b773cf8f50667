package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rancher/remotedialer"
)

func dial(name, links, ca, token string) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	dialer := &websocket.Dialer{
		HandshakeTimeout: 10 * time.Second,
		TLSClientConfig:  &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	headers := http.Header{}
	headers.Set(clusterHeader, name)
	headers.Set("Authorization", "Bearer "+token)
	allowed := func(string, string) bool { return true }
	return remotedialer.ConnectToProxy(context.Background(), "wss://"+links+"/connect", headers, allowed, dialer, nil)
}
