{{/* The pod of a service: what a Deployment, and for inference also the autoscaler, makes more of. */}}
{{- define "edgecore.pod" -}}
{{- $root := .root }}{{ $name := .name }}
{{- $values := index $root.Values $name }}
{{- $about := index (include "edgecore.catalogue" $root | fromYaml) $name }}
{{- $volume := and (has "objects" $about.needs) (not $root.Values.objectStore.url) }}
metadata:
  labels: {{- include "edgecore.labels" . | nindent 4 }}
spec:
  serviceAccountName: {{ include "edgecore.name" . }}
  automountServiceAccountToken: {{ has "kubernetes" $about.needs }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- include "edgecore.podSecurity" (dict "user" 10001) | nindent 4 }}
  {{- if $about.migrates }}
  initContainers:
    - name: migrate
      image: {{ include "edgecore.image" . }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [migrate]
      env: {{- include "edgecore.environment" . | nindent 8 }}
      securityContext: {{- include "edgecore.containerSecurity" $root | nindent 8 }}
      resources: {{- toYaml $values.resources | nindent 8 }}
      volumeMounts: [{name: scratch, mountPath: /tmp}]
  {{- end }}
  containers:
    - name: {{ $name }}
      image: {{ include "edgecore.image" . }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [serve]
      env: {{- include "edgecore.environment" . | nindent 8 }}
      {{- include "edgecore.environmentFrom" . | nindent 6 }}
      ports:
        - {name: http, containerPort: 8080}
        {{- with $about.grpc }}
        - {name: grpc, containerPort: {{ . }}}
        {{- end }}
      startupProbe:
        httpGet: {path: /health/live, port: http}
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 90
      livenessProbe:
        httpGet: {path: /health/live, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /health/ready, port: http}
        periodSeconds: 3
        timeoutSeconds: 5
      securityContext: {{- include "edgecore.containerSecurity" $root | nindent 8 }}
      resources: {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - {name: scratch, mountPath: /tmp}
        {{- if $volume }}
        - {name: objects, mountPath: /objects}
        {{- end }}
        {{- if has "kubernetes" $about.needs }}
        - {name: pod, mountPath: /etc/edgecore, readOnly: true}
        {{- end }}
  volumes:
    - name: scratch
      emptyDir: {}
    {{- if $volume }}
    - name: objects
      persistentVolumeClaim: {claimName: {{ include "edgecore.objectsClaim" . }}}
    {{- end }}
    {{- if has "kubernetes" $about.needs }}
    - name: pod
      configMap: {name: {{ include "edgecore.name" (dict "root" $root "name" "inference-pod") }}}
    {{- end }}
  {{- with $values.pod }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "edgecore.environment" -}}
{{- $root := .root }}{{ $name := .name }}
{{- $values := index $root.Values $name }}
{{- $about := index (include "edgecore.catalogue" $root | fromYaml) $name -}}
- {name: EDGECORE_LOG_LEVEL, value: {{ $root.Values.telemetry.logLevel }}}
{{- with $root.Values.telemetry.otlpEndpoint }}
- {name: EDGECORE_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
- {name: EDGECORE_DRAIN_DELAY, value: "5"}
{{- if has "database" $about.needs }}
- name: EDGECORE_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ include "edgecore.urlSecret" (dict "root" $root "name" "database") }}, key: url}}
{{- end }}
{{- if has "kafka" $about.needs }}
- {name: EDGECORE_KAFKA_BOOTSTRAP, value: {{ include "edgecore.bootstrap" . | quote }}}
- {name: EDGECORE_KAFKA_IDEMPOTENCE, value: {{ $root.Values.kafka.idempotence | quote }}}
{{- end }}
{{- if has "redis" $about.needs }}
- name: EDGECORE_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ include "edgecore.urlSecret" (dict "root" $root "name" "redis") }}, key: url}}
{{- end }}
{{- if has "objects" $about.needs }}
- {name: EDGECORE_OBJECT_STORE_URL, value: {{ $root.Values.objectStore.url | default "file:///objects" | quote }}}
{{- end }}
{{- range $about.peers }}
{{- $address := include "edgecore.address" (dict "root" $root "name" .) }}
{{- if $address }}
- {name: EDGECORE_{{ upper . }}_ADDRESS, value: {{ $address | quote }}}
{{- end }}
{{- end }}
{{- with $about.grpc }}
- {name: EDGECORE_GRPC_PORT, value: {{ . | quote }}}
{{- end }}
{{- if eq $name "gateway" }}
{{- $admin := include "edgecore.adminSecret" . }}
- {name: EDGECORE_ADMIN_EMAIL, value: {{ $root.Values.admin.email | quote }}}
- name: EDGECORE_ADMIN_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $admin }}, key: password}}
- name: EDGECORE_ADMIN_API_KEY
  valueFrom: {secretKeyRef: {name: {{ $admin }}, key: api-key, optional: true}}
{{- end }}
{{- if and $root.Values.providers (has $name (list "scheduler" "cost")) }}
- {name: EDGECORE_FALLBACK_BACKENDS, value: "{{ range $index, $one := $root.Values.providers }}{{ if $index }},{{ end }}{{ $one.name }}{{ end }}"}
{{- end }}
{{- if eq $name "inference" }}
- {name: EDGECORE_POOL, value: {{ $values.pool | quote }}}
- {name: EDGECORE_SCRATCH_DIRECTORY, value: /tmp/scratch}
{{- end }}
{{- if has "kubernetes" $about.needs }}
- {name: EDGECORE_KUBERNETES, value: "true"}
- {name: EDGECORE_KUBERNETES_NAMESPACE, value: {{ $root.Release.Namespace }}}
- {name: EDGECORE_POD_TEMPLATE, value: /etc/edgecore/pod.yaml}
{{- end }}
{{- range $setting, $value := $values.settings }}
- {name: EDGECORE_{{ upper $setting }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "edgecore.environmentFrom" -}}
{{- $about := index (include "edgecore.catalogue" .root | fromYaml) .name }}
{{- $secrets := (index .root.Values .name).secrets }}
{{- if and (has "objects" $about.needs) .root.Values.objectStore.existingSecret }}
{{- $secrets = append $secrets .root.Values.objectStore.existingSecret }}
{{- end }}
{{- with $secrets }}
envFrom:
{{- range . }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
