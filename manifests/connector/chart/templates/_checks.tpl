{{/* What values.schema.json cannot say, or not in words that help. */}}
{{- define "connector.checks" -}}
{{- with .Values -}}
{{- if and (eq .role "impersonate") (not .impersonate.users) -}}
{{- fail "role impersonate: list in impersonate.users whom callers may be. Without names they could be anybody." -}}
{{- end -}}
{{- if and (ne .role "impersonate") (or .impersonate.users .impersonate.groups) -}}
{{- fail (printf "impersonate.users and impersonate.groups go with role impersonate; role is %s." .role) -}}
{{- end -}}
{{- if and .namespaces (not (has .role (list "view" "edit"))) -}}
{{- fail (printf "namespaces: role %s cannot be held to some namespaces; take view or edit, or leave namespaces empty." .role) -}}
{{- end -}}
{{- if and .priorityClass.create .priorityClass.name -}}
{{- fail "priorityClass: either create one, or name one that exists." -}}
{{- end -}}
{{- if contains "@" .httpProxy.url -}}
{{- fail "httpProxy.url has a user or a password: values are no place for one. Put the URL into a Secret, and name that in httpProxy.existingSecret." -}}
{{- end -}}
{{- if and .httpProxy.url (not (regexMatch "^https?://[^/?#]+/?$" .httpProxy.url)) -}}
{{- fail "httpProxy.url: give scheme, host and port, like http://proxy.example.com:3128." -}}
{{- end -}}
{{- if and .httpProxy.url .httpProxy.existingSecret -}}
{{- fail "httpProxy: give either url or existingSecret." -}}
{{- end -}}
{{- if .httpProxy.ca.existingConfigMap -}}
{{- if not (or .httpProxy.url .httpProxy.existingSecret) -}}
{{- fail "httpProxy.ca: there is no proxy; give httpProxy.url or httpProxy.existingSecret. The CA of tunnel-server itself is privateCA." -}}
{{- end -}}
{{- if hasPrefix "http://" .httpProxy.url -}}
{{- fail "httpProxy.ca goes with a proxy that speaks TLS: give httpProxy.url with https://, or leave the CA out." -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[-_.:A-Za-z0-9]*$" .tlsServerName) -}}
{{- fail (printf "tlsServerName: give a DNS name or an IP address, like clusters.example.com, not %q." .tlsServerName) -}}
{{- end -}}
{{- range .pinSha256 -}}
{{- if not (regexMatch "^(sha256//?)?[A-Za-z0-9+/]{43}=$" .) -}}
{{- fail (printf "pinSha256: %q is no pin; give the SHA-256 of a public key in base64, like sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=." .) -}}
{{- end -}}
{{- end -}}
{{- if .networkPolicy.enabled -}}
{{- if not .networkPolicy.apiServer.cidrs -}}
{{- fail "networkPolicy.apiServer.cidrs: list the API server's own addresses, like [192.0.2.10/32]; `kubectl get endpointslices --namespace default` shows them." -}}
{{- end -}}
{{- if not .networkPolicy.tunnelServer.cidrs -}}
{{- fail "networkPolicy.tunnelServer.cidrs: list tunnel-server's addresses (with an HTTP proxy: the proxy's), like [198.51.100.10/32]." -}}
{{- end -}}
{{- if and .httpProxy.existingSecret (not .networkPolicy.tunnelServer.port) -}}
{{- fail "networkPolicy.tunnelServer.port: give the HTTP proxy's port; it cannot be read from a Secret." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
