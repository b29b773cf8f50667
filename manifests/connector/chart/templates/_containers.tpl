{{- define "connector.tunnelClient" -}}
- name: tunnel-client
  image: {{ include "connector.image" (list .Chart .Values.images.tunnelClient) }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  args:
    - --token-file=/etc/culvert/connector-token/{{ .Values.connectorToken.key }}
    - --sidecar-secret-file=/run/culvert/sidecar-secret/secret
    - --log-format=json
  env:
    {{- include "connector.proxyVariables" .Values.httpProxy | nindent 4 }}
    {{- with .Values.privateCA }}
    {{- if .existingConfigMap }}
    - name: TUNNEL_CLIENT_CA_FILE
      value: /etc/culvert/tunnel-server-ca/{{ .key }}
    {{- end }}
    {{- end }}
    - name: TUNNEL_CLIENT_SERVER
      value: {{ .Values.server | quote }}
    {{- with .Values.clusterName }}
    - name: TUNNEL_CLIENT_SUBDOMAIN
      value: {{ . | quote }}
    {{- end }}
  {{- include "connector.portAndProbes" (list "client-admin" 8003) | nindent 2 }}
  resources:
    {{- toYaml .Values.resources.tunnelClient | nindent 4 }}
  {{- include "connector.containerSecurity" . | nindent 2 }}
  volumeMounts:
    {{- if .Values.privateCA.existingConfigMap }}
    - name: tunnel-server-ca
      mountPath: /etc/culvert/tunnel-server-ca
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
