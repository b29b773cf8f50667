{{/* A release named tunnel-server gives the names of ../base. */}}
{{- define "server.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "server.selector" -}}
app.kubernetes.io/name: tunnel-server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "server.labels" -}}
{{ include "server.selector" . }}
app.kubernetes.io/part-of: culvert
{{- end -}}

{{- define "server.metadata" -}}
name: {{ include "server.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "server.labels" . | nindent 2 }}
{{- end -}}

{{- define "server.configMap" -}}
{{- .Values.existingConfigMap | default (include "server.name" .) -}}
{{- end -}}

{{- define "server.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}
