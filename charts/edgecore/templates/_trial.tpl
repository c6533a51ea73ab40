{{/* What the three trial parts need. `writes`: the only folders that they can write to. */}}
{{- define "edgecore.trialParts" -}}
{{- $kafka := include "edgecore.name" (dict "root" . "name" "kafka") -}}
postgres:
  port: 5432
  env:
    - {name: POSTGRES_USER, value: edgecore}
    - {name: POSTGRES_DB, value: edgecore}
    - {name: POSTGRES_PASSWORD, value: $(PASSWORD)}
    - {name: PGDATA, value: /var/lib/postgresql/data/pgdata}
  writes: [/var/lib/postgresql/data, /var/run/postgresql, /tmp]
  resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 1Gi}}
kafka:
  port: 9092
  env:
    # Two ways to say the same: ours for a small image that makes the rest itself, and Apache's own image's.
    - {name: ADVERTISED, value: "{{ $kafka }}:9092"}
    - {name: KAFKA_HEAP, value: {{ .Values.trial.kafka.heap }}}
    - {name: KAFKA_HEAP_OPTS, value: -Xmx{{ .Values.trial.kafka.heap }}}
    - {name: KAFKA_NODE_ID, value: "1"}
    - {name: KAFKA_PROCESS_ROLES, value: "broker,controller"}
    - {name: KAFKA_CONTROLLER_QUORUM_VOTERS, value: "1@127.0.0.1:9093"}
    - {name: KAFKA_LISTENERS, value: "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"}
    - {name: KAFKA_ADVERTISED_LISTENERS, value: "PLAINTEXT://{{ $kafka }}:9092"}
    - {name: KAFKA_LISTENER_SECURITY_PROTOCOL_MAP, value: "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"}
    - {name: KAFKA_CONTROLLER_LISTENER_NAMES, value: CONTROLLER}
    - {name: KAFKA_LOG_DIRS, value: /data}
    - {name: KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR, value: "1"}
    - {name: KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR, value: "1"}
    - {name: KAFKA_TRANSACTION_STATE_LOG_MIN_ISR, value: "1"}
    - {name: KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS, value: "0"}
  writes: [/data, /tmp, /opt/kafka/config, /opt/kafka/logs]
  resources: {requests: {cpu: 200m, memory: 512Mi}, limits: {memory: 1Gi}}
redis:
  port: 6379
  args: ["--requirepass", $(PASSWORD), "--save", "", "--appendonly", "no"]
  env: []
  writes: [/data, /tmp]
  resources: {requests: {cpu: 20m, memory: 32Mi}, limits: {memory: 256Mi}}
{{- end }}
