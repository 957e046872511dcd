{{- define "fairlead.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters: the longest name made from it, FULLNAME-control-plane, is of a Service. */}}
{{- define "fairlead.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ $name = .Release.Name }}{{ else }}{{ $name = printf "%s-%s" .Release.Name $name }}{{ end }}
{{- default $name .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "fairlead.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fairlead.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "fairlead.labels" -}}
{{ include "fairlead.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: fairlead
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "fairlead.operatorAccount" -}}
{{- default (printf "%s-operator" (include "fairlead.fullname" .)) .Values.serviceAccount.operator.name }}
{{- end }}

{{- define "fairlead.gatewayAccount" -}}
{{- default (printf "%s-gateway" (include "fairlead.fullname" .)) .Values.serviceAccount.gateway.name }}
{{- end }}

{{- define "fairlead.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}{{ else }}{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}{{ end }}
{{- end }}
{{- end }}

{{/* What each container of ours has in common. */}}
{{- define "fairlead.container" -}}
image: {{ include "fairlead.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "fairlead.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Placement of a component's pods; takes .root, .component and .values. */}}
{{- define "fairlead.placement" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.affinity }}
affinity:
  {{- toYaml .values.affinity | nindent 2 }}
{{- else if .apart }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "fairlead.selectorLabels" .root | nindent 14 }}
              app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end }}

{{/* The namespaces that the operator follows, as a JSON list; an empty one means all. */}}
{{- define "fairlead.namespaces" -}}
{{- if .Values.operator.namespaces }}{{ concat (list .Release.Namespace) .Values.operator.namespaces | uniq | toJson }}{{ else }}[]{{ end }}
{{- end }}

{{/* "https" where the listener has TLS. */}}
{{- define "fairlead.scheme" -}}
{{- if .tls }}https{{ else }}http{{ end }}
{{- end }}

{{/* The listener that tells whether a gateway is ready: one with TLS has its port closed for want of its Secret. */}}
{{- define "fairlead.probedListener" -}}
{{- $plain := list }}
{{- range .Values.inferenceGateway.spec.listeners }}{{ if not .tls }}{{ $plain = append $plain . }}{{ end }}{{ end }}
{{- first (concat $plain .Values.inferenceGateway.spec.listeners) | toJson }}
{{- end }}

{{/* The port of the first listener in the Service. */}}
{{- define "fairlead.servicePort" -}}
{{- default (first .Values.inferenceGateway.spec.listeners).port .Values.gateway.service.port }}
{{- end }}

{{/* The port of a gateway's own admin interface: 8889 where the InferenceGateway does not say. */}}
{{- define "fairlead.adminPort" -}}
{{- dig "admin" "port" 8889 .Values.inferenceGateway.spec }}
{{- end }}
