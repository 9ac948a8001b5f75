{{- define "gateway.name" -}}
{{- if contains "gateway" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-gateway" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.tag" -}}
{{- required "image.tag: name the version of the image" .Values.image.tag -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: connected-factory-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ include "gateway.tag" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "gateway.configMap" -}}
{{- .Values.existingConfigMap | default (include "gateway.name" .) -}}
{{- end -}}

{{/* Where the log of a group is, with the NATS of this chart: each server by its own name, since each is asked how it syncs. */}}
{{- define "gateway.natsServers" -}}
{{- $servers := list -}}
{{- range $number := until (int .Values.nats.config.cluster.replicas) -}}
{{- $servers = append $servers (printf "nats://%s-nats-%d.%s-nats-headless:4222" $.Release.Name $number $.Release.Name) -}}
{{- end -}}
{{- toJson $servers -}}
{{- end -}}

{{/* The configuration with what a pod needs. */}}
{{- define "gateway.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $fixed := dict "http" (dict "host" "0.0.0.0" "port" 9464) "outbox" (dict "path" "/var/lib/connected-factory/outbox") -}}
{{- $config = mergeOverwrite $fixed $config -}}
{{- if .Values.nats.enabled -}}
{{- if not (hasKey $config "group") -}}{{- fail "nats.enabled: the NATS cluster is for a group: name it in config.group" -}}{{- end -}}
{{- $group := get $config "group" -}}
{{- if not (hasKey $group "servers") -}}
{{- $_ := set $group "servers" (include "gateway.natsServers" . | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What the process is given: where the configuration is. */}}
{{- define "gateway.pull" -}}
{{- $pull := deepCopy .Values.pull -}}
{{- $from := dict "from" "/etc/connected-factory/configuration" "keep" "/var/lib/connected-factory/configuration" -}}
{{- toYaml (dict "configuration" (mergeOverwrite $from $pull)) -}}
{{- end -}}

{{- define "gateway.isRemote" -}}
{{- if hasKey .Values.pull "from" -}}yes{{- end -}}
{{- end -}}

{{- define "gateway.check" -}}
{{- $given := 0 -}}
{{- if .Values.config -}}{{- $given = add1 $given -}}{{- end -}}
{{- if .Values.existingConfigMap -}}{{- $given = add1 $given -}}{{- end -}}
{{- if include "gateway.isRemote" . -}}{{- $given = add1 $given -}}{{- end -}}
{{- if ne (int $given) 1 -}}{{- fail "give the configuration once: config, existingConfigMap, or pull.from" -}}{{- end -}}
{{- if and (gt (int .Values.replicas) 1) .Values.config (not (hasKey .Values.config "group")) -}}
{{- fail "replicas: several without config.group would fight over the client id at the broker: name a group" -}}
{{- end -}}
{{- end -}}
