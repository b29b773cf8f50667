{{- define "connector.tunnelClient" -}}
- name: tunnel-client
  image: {{ include "connector.image" (list .Chart .Values.images.tunnelClient) }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  args:
    - --log-format=json
  env:
    {{- include "connector.proxyVariables" .Values.httpProxy | nindent 4 }}
    {{- with .Values.privateCA }}
    {{- if .existingConfigMap }}
    - name: TUNNEL_CLIENT_CA_FILE
      value: /etc/culvert/tunnel-server-ca/{{ .key }}
    {{- end }}
    {{- end }}
    {{- with .Values.tlsServerName }}
    - name: TUNNEL_CLIENT_TLS_SERVER_NAME
      value: {{ . | quote }}
    {{- end }}
    {{- with .Values.pinSha256 }}
    - name: TUNNEL_CLIENT_PIN_SHA256
      value: {{ join "," . | quote }}
    {{- end }}
    {{- if .Values.clientCertificate.existingSecret }}
    - name: TUNNEL_CLIENT_CLIENT_CERTIFICATE
      value: /etc/culvert/client-certificate/tls.crt
    - name: TUNNEL_CLIENT_CLIENT_KEY
      value: /etc/culvert/client-certificate/tls.key
    {{- end }}
    - name: TUNNEL_CLIENT_SERVER
      value: {{ .Values.server | quote }}
    {{- with .Values.clusterName }}
    - name: TUNNEL_CLIENT_SUBDOMAIN
      value: {{ . | quote }}
    {{- end }}
    - name: TUNNEL_CLIENT_TOKEN_FILE
      value: /etc/culvert/connector-token/{{ .Values.connectorToken.key }}
    - name: TUNNEL_CLIENT_SIDECAR_SECRET_FILE
      value: /run/culvert/sidecar-secret/secret
  {{- include "connector.portAndProbes" (list "client-admin" 8003) | nindent 2 }}
  resources:
    {{- toYaml .Values.resources.tunnelClient | nindent 4 }}
  {{- include "connector.containerSecurity" . | nindent 2 }}
  volumeMounts:
    {{- if .Values.httpProxy.ca.existingConfigMap }}
    - name: http-proxy-ca
      mountPath: /etc/culvert/http-proxy-ca
      readOnly: true
    {{- end }}
    {{- if .Values.privateCA.existingConfigMap }}
    - name: tunnel-server-ca
      mountPath: /etc/culvert/tunnel-server-ca
      readOnly: true
    {{- end }}
    {{- if .Values.clientCertificate.existingSecret }}
    - name: client-certificate
      mountPath: /etc/culvert/client-certificate
      readOnly: true
    {{- end }}
    - name: connector-token
      mountPath: /etc/culvert/connector-token
      readOnly: true
    - name: sidecar-secret
      mountPath: /run/culvert/sidecar-secret
      readOnly: true
{{- end -}}

{{- define "connector.proxySidecar" -}}
- name: proxy-sidecar
  image: {{ include "connector.image" (list .Chart .Values.images.proxySidecar) }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  {{- if .Values.nativeSidecar }}
  restartPolicy: Always
  {{- else }}
  lifecycle:
    preStop:
      sleep:
        seconds: 5
  {{- end }}
  args:
    - --reject-paths={{ if not .Values.allowExec }}^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach{{ end }}
    - --require-own-credential
    - --protect-namespaces=$(POD_NAMESPACE)
    - --reject-token-requests
    - --secret-file=/run/culvert/sidecar-secret/secret
    - --admin-address=0.0.0.0:8002
    - --log-format=json
  env:
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
  {{- include "connector.portAndProbes" (list "sidecar-admin" 8002) | nindent 2 }}
  resources:
    {{- toYaml .Values.resources.proxySidecar | nindent 4 }}
  {{- include "connector.containerSecurity" . | nindent 2 }}
  volumeMounts:
    - name: service-account
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    - name: sidecar-secret
      mountPath: /run/culvert/sidecar-secret
{{- end -}}

{{- define "connector.proxyVariables" -}}
{{- if .url }}
- name: HTTPS_PROXY
  value: {{ .url | quote }}
{{- else if .existingSecret }}
- name: HTTPS_PROXY
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .key }}
{{- end }}
{{- with .noProxy }}
- name: NO_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .ca }}
{{- if .existingConfigMap }}
- name: TUNNEL_CLIENT_PROXY_CA_FILE
  value: /etc/culvert/http-proxy-ca/{{ .key }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes the name and number of the port. */}}
{{- define "connector.portAndProbes" -}}
{{- $name := index . 0 -}}
ports:
  - name: {{ $name }}
    containerPort: {{ index . 1 }}
startupProbe:
  httpGet:
    path: /livez
    port: {{ $name }}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /livez
    port: {{ $name }}
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ $name }}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{- define "connector.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop:
      - ALL
{{- end -}}
