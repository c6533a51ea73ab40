{{/*
What is true of each service whatever the values say.
  needs     database, kafka, redis, objects (the artifact store), kubernetes (its API)
  peers     services that it calls over gRPC, and does without when they are away
  grpc      the port it serves gRPC on
  migrates  has a schema, brought up to date by an init container
  one       at most one replica works at a time: the old one ends before the new one starts
*/}}
{{- define "edgecore.catalogue" -}}
gateway: {needs: [database, kafka, redis, objects], peers: [scheduler, preview, cost, analytics], migrates: true}
scheduler: {needs: [database, kafka], peers: [], grpc: 9090, migrates: true, one: true}
inference: {needs: [objects], peers: [scheduler, preview]}
preview: {needs: [redis], peers: [], grpc: 9091}
cost: {needs: [database, kafka], peers: [], grpc: 9092, migrates: true}
analytics: {needs: [database, kafka], peers: [], grpc: 9093, migrates: true}
autoscaler: {needs: [database, kafka, kubernetes], peers: [scheduler], migrates: true}
{{- end }}

{{/* host:port of a peer, or nothing when there is none. */}}
{{- define "edgecore.address" -}}
{{- $about := index (include "edgecore.catalogue" .root | fromYaml) .name -}}
{{- if (index .root.Values .name).enabled -}}
{{ include "edgecore.name" . }}:{{ $about.grpc }}
{{- else -}}
{{ index .root.Values.addresses .name }}
{{- end }}
{{- end }}

{{- define "edgecore.trial" -}}
{{- if and .root.Values.trial.enabled (index .root.Values.trial .name).enabled }}true{{ end }}
{{- end }}

{{/* The secret that holds where the database (or Redis) is. */}}
{{- define "edgecore.urlSecret" -}}
{{- $given := index .root.Values .name -}}
{{- $given.existingSecret | default (include "edgecore.name" .) -}}
{{- end }}

{{- define "edgecore.bootstrap" -}}
{{- if include "edgecore.trial" (dict "root" .root "name" "kafka") -}}
{{ include "edgecore.name" (dict "root" .root "name" "kafka") }}:9092
{{- else -}}
{{ .root.Values.kafka.bootstrap }}
{{- end }}
{{- end }}

{{- define "edgecore.adminSecret" -}}
{{ .root.Values.admin.existingSecret | default (include "edgecore.name" (dict "root" .root "name" "admin")) }}
{{- end }}

{{- define "edgecore.objectsClaim" -}}
{{ .root.Values.objectStore.volume.existingClaim | default (include "edgecore.name" (dict "root" .root "name" "objects")) }}
{{- end }}

{{/* The trial's pods that a service talks to, as a list. */}}
{{- define "edgecore.partsOf" -}}
{{- range $part, $need := dict "postgres" "database" "kafka" "kafka" "redis" "redis" }}
{{- if and (has $need $.needs) (include "edgecore.trial" (dict "root" $.root "name" $part)) }}
- {{ $part }}
{{- end }}
{{- end }}
{{- end }}

{{/* The names of the enabled services, as a list. */}}
{{- define "edgecore.enabled" -}}
{{- range $name, $about := include "edgecore.catalogue" . | fromYaml }}
{{- if (index $.Values $name).enabled }}
- {{ $name }}
{{- end }}
{{- end }}
{{- end }}
