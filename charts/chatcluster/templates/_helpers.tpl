{{/* Release "chatcluster" makes "chatcluster-operator", release "chat" makes "chat-chatcluster-operator". */}}
{{- define "chatcluster.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-%s-operator" (.Release.Name | trunc 42 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{/* Cluster roles have no namespace, and roles elsewhere are not in ours, so the name says whose they are. */}}
{{- define "chatcluster.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "chatcluster.fullname" .) -}}
{{- end -}}

{{- define "chatcluster.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "chatcluster.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "chatcluster.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "chatcluster.selectorLabels" -}}
app.kubernetes.io/name: chatcluster-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "chatcluster.labels" -}}
{{ include "chatcluster.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: chatcluster
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
