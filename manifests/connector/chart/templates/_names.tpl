{{/* A release named gitlab-connector gives the names of ../base. */}}
{{- define "connector.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 59 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 59 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 59 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "connector.partOf" -}}
app.kubernetes.io/part-of: culvert
{{- end -}}

{{- define "connector.selector" -}}
app.kubernetes.io/name: gitlab-connector-pod
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "connector.subjects" -}}
- kind: ServiceAccount
  name: {{ include "connector.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* Takes the chart and one of `images`. */}}
{{- define "connector.image" -}}
{{- $chart := index . 0 -}}
{{- with index . 1 -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "connector.priorityClass" -}}
{{- if .Values.priorityClass.create -}}
{{- include "connector.name" . -}}
{{- else -}}
{{- .Values.priorityClass.name -}}
{{- end -}}
{{- end -}}
