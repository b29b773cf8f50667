{{- define "server.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 40
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" }}
{{- with index $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: tunnel-server
    image: {{ include "server.image" . }}
    imagePullPolicy: {{ .Values.imagePullPolicy }}
    args:
      - --config=/etc/culvert/config/tunnel-server.yaml
      - --log-format=json
    ports:
      - name: tls
        containerPort: 8443
      - name: server-admin
        containerPort: 9090
    startupProbe:
      httpGet:
        path: /livez
        port: server-admin
      periodSeconds: 1
      failureThreshold: 30
    livenessProbe:
      httpGet:
        path: /livez
        port: server-admin
      timeoutSeconds: 5
    readinessProbe:
      httpGet:
        path: /readyz
        port: server-admin
      periodSeconds: 5
      timeoutSeconds: 5
    {{- with .Values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop:
          - ALL
    volumeMounts:
      - name: config
        mountPath: /etc/culvert/config
        readOnly: true
      - name: tls
        mountPath: /etc/culvert/tls
        readOnly: true
volumes:
  - name: config
    configMap:
      name: {{ include "server.configMap" . }}
  - name: tls
    secret:
      secretName: {{ .Values.tls.existingSecret }}
      defaultMode: 0440
{{- end -}}
