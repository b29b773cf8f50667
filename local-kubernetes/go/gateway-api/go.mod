module culvert.local/gateway-api

go 1.26.0

// For its config/crd: what the manifests for a Gateway are checked against.
require sigs.k8s.io/gateway-api v1.5.1
