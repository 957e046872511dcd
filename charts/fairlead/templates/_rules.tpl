{{/* A Role of the operator and its binding; takes .root, .name, .namespace and .rules. */}}
{{- define "fairlead.role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name | quote }}
  namespace: {{ .namespace | quote }}
  labels:
    {{- include "fairlead.labels" .root | nindent 4 }}
    app.kubernetes.io/component: operator
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name | quote }}
  namespace: {{ .namespace | quote }}
  labels:
    {{- include "fairlead.labels" .root | nindent 4 }}
    app.kubernetes.io/component: operator
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name | quote }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "fairlead.operatorAccount" .root | quote }}, namespace: {{ .root.Release.Namespace | quote }}}
{{- end }}

{{/* Wherever models are. */}}
{{- define "fairlead.followRules" -}}
- apiGroups: [fairlead.dev]
  resources: [modeldeployments, inferencegateways, consumers]
  verbs: [get, list, watch]
- apiGroups: [fairlead.dev]
  resources: [modeldeployments/status, inferencegateways/status, consumers/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* The Secrets that inferenceGateway.spec names, as a JSON list: of listeners, of the limits' store, of issuers. */}}
{{- define "fairlead.namedSecrets" -}}
{{- $spec := .Values.inferenceGateway.spec }}
{{- $names := list }}
{{- range $spec.listeners }}{{ $names = append $names (dig "tls" "secretRef" "name" "" .) }}{{ end }}
{{- with dig "limits" "valkey" dict $spec }}
{{- $names = append $names (dig "secretRef" "name" "" .) }}
{{- $names = append $names (dig "ca" "secretRef" "name" "" .) }}
{{- end }}
{{- range dig "authentication" "jwt" list $spec }}{{ $names = append $names (dig "ca" "secretRef" "name" "" .) }}{{ end }}
{{- without $names "" | uniq | toJson }}
{{- end }}

{{/* In the release's own namespace. */}}
{{- define "fairlead.ownRules" -}}
{{- $fullname := include "fairlead.fullname" . -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ $fullname | quote }}]
  verbs: [get, update]
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets, configmaps]
  resourceNames: [{{ $fullname }}-control-plane-tls]
  verbs: [get, update]
{{- with include "fairlead.namedSecrets" . | fromJsonArray }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* Where resources name Secrets that this chart does not know. */}}
{{- define "fairlead.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end }}
