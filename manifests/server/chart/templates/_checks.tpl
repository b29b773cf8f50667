{{/* What values.schema.json cannot say, or not in words that help. */}}
{{- define "server.checks" -}}
{{- with .Values -}}
{{- if ne (int .replicas) 1 -}}
{{- fail "replicas: tunnel-server runs as one replica in this version. A link is known only to the process that it came to; a second one would answer 503 to half of the callers." -}}
{{- end -}}
{{- if and .existingConfigMap (or .clusters .callers .extraHosts) -}}
{{- fail "existingConfigMap: clusters, callers and extraHosts then belong into its tunnel-server.yaml, not into these values." -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.hosts) -}}
{{- fail "ingress.hosts: list the base domain, where tunnel-clients dial, and each cluster's name." -}}
{{- end -}}
{{- if and .gateway.enabled (eq (empty .gateway.className) (empty .gateway.existing.name)) -}}
{{- fail "gateway: either give className, for a Gateway of its own, or existing.name, for one that is there." -}}
{{- end -}}
{{- range $index, $cluster := .clusters -}}
{{- if gt (len (default list $cluster.connectorTokens)) 2 -}}
{{- fail (printf "clusters[%d].connectorTokens: at most 2, one in use and one to rotate to." $index) -}}
{{- end -}}
{{- include "server.checkHashes" (list (printf "clusters[%d].connectorTokens" $index) $cluster.connectorTokens) -}}
{{- end -}}
{{- range $index, $caller := .callers -}}
{{- include "server.checkHashes" (list (printf "callers[%d].accessTokens" $index) $caller.accessTokens) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Takes a path and tokens. Never repeats what stands there: it may be a token. */}}
{{- define "server.checkHashes" -}}
{{- $path := index . 0 -}}
{{- range $index, $token := index . 1 -}}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" $token.hash) -}}
{{- fail (printf "%s[%d].hash: not a token's hash; give the one that `tunnel-server token new` printed." $path $index) -}}
{{- end -}}
{{- end -}}
{{- end -}}
