{{/* Refuses what each value alone may be, and all together may not: what values.schema.json cannot say. */}}
{{- define "fairlead.refuse" -}}
{{- $service := .Values.gateway.service }}
{{- $drain := .Values.gateway.drain }}
{{- if ge (int $drain.minAcceptSeconds) (int $drain.timeoutSeconds) }}
{{- fail "gateway.drain.minAcceptSeconds must be less than gateway.drain.timeoutSeconds, which includes it" }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail "autoscaling.minReplicas must not be greater than autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
{{- include "fairlead.refusePorts" . }}
{{- if and $service.externalTrafficPolicy (eq $service.type "ClusterIP") }}
{{- fail "gateway.service.externalTrafficPolicy needs gateway.service.type NodePort or LoadBalancer" }}
{{- end }}
{{- range $field := list "loadBalancerClass" "loadBalancerSourceRanges" }}
{{- if and (get $service $field) (ne $service.type "LoadBalancer") }}
{{- fail (printf "gateway.service.%s needs gateway.service.type LoadBalancer" $field) }}
{{- end }}
{{- end }}
{{- end }}

{{/* One pod, and one Service, have each port once. */}}
{{- define "fairlead.refusePorts" -}}
{{- $ofPod := dict (include "fairlead.adminPort" .) "inferenceGateway.spec.admin.port" }}
{{- $ofService := dict }}
{{- range $index, $listener := .Values.inferenceGateway.spec.listeners }}
{{- $what := printf "the port of the listener %s" $listener.name }}
{{- $port := toString $listener.port }}
{{- with get $ofPod $port }}{{ fail (printf "%s, %s, is taken by %s" $what $port .) }}{{ end }}
{{- $_ := set $ofPod $port $what }}
{{- if eq $index 0 }}{{ $port = include "fairlead.servicePort" $ }}{{ end }}
{{- with get $ofService $port }}
{{- fail (printf "%s in the Service, %s, is taken by %s: see gateway.service.port" $what $port .) }}
{{- end }}
{{- $_ := set $ofService $port $what }}
{{- end }}
{{- with get $ofPod "18002" }}{{ fail (printf "%s must not be 18002, where the kubelet probes extproc" .) }}{{ end }}
{{- end }}
