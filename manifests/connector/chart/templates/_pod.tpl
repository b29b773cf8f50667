{{- define "connector.pod" -}}
serviceAccountName: {{ include "connector.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 40
{{- with include "connector.priorityClass" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.nativeSidecar }}
initContainers:
  {{- include "connector.proxySidecar" . | nindent 2 }}
{{- end }}
containers:
  {{- include "connector.tunnelClient" . | nindent 2 }}
  {{- if not .Values.nativeSidecar }}
  {{- include "connector.proxySidecar" . | nindent 2 }}
  {{- end }}
{{- if gt (int .Values.replicas) 1 }}
topologySpreadConstraints:
  {{- include "connector.spread" . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "hostAliases" }}
{{- with index $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
volumes:
  {{- include "connector.volumes" . | nindent 2 }}
{{- end -}}

{{- define "connector.spread" -}}
- topologyKey: kubernetes.io/hostname
  maxSkew: 1
  whenUnsatisfiable: DoNotSchedule
  nodeTaintsPolicy: Honor
  labelSelector:
    matchLabels:
      {{- include "connector.selector" . | nindent 6 }}
  matchLabelKeys:
    - pod-template-hash
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "connector.selector" . | nindent 6 }}
  matchLabelKeys:
    - pod-template-hash
{{- end -}}

{{- define "connector.volumes" -}}
{{- with .Values.httpProxy.ca.existingConfigMap }}
- name: http-proxy-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- with .Values.privateCA.existingConfigMap }}
- name: tunnel-server-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- with .Values.clientCertificate.existingSecret }}
- name: client-certificate
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
- name: service-account
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
- name: connector-token
  secret:
    secretName: {{ .Values.connectorToken.existingSecret }}
    defaultMode: 0440
- name: sidecar-secret
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end -}}
