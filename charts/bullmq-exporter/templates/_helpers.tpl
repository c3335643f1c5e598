{{- define "bullmq-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "bullmq-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "bullmq-exporter.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "bullmq-exporter.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* A name with a suffix that survives the limit of 63 letters. Takes [root, suffix]. */ -}}
{{- define "bullmq-exporter.suffixed" -}}
{{- $suffix := index . 1 -}}
{{- printf "%s-%s" (include "bullmq-exporter.fullname" (index . 0) | trunc (sub 62 (len $suffix) | int) | trimSuffix "-") $suffix -}}
{{- end -}}

{{- /* The Service in front of the pods. That of shards has no address of its own, or each request would reach another shard; it has another
name, because Kubernetes lets no Service lose its address. */ -}}
{{- define "bullmq-exporter.serviceName" -}}
{{- if gt (int .Values.shards) 1 -}}
{{- include "bullmq-exporter.suffixed" (list . "shards") -}}
{{- else -}}
{{- include "bullmq-exporter.fullname" . -}}
{{- end -}}
{{- end -}}

{{- /* The pods of a StatefulSet have its name and a hash as a label, which takes 63 letters: <https://github.com/kubernetes/kubernetes/issues/64023>. */ -}}
{{- define "bullmq-exporter.statefulSetName" -}}
{{- include "bullmq-exporter.fullname" . | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- /* The port at which that Service is reached: without an address of its own it leads to the pods' port. */ -}}
{{- define "bullmq-exporter.servicePort" -}}
{{- if gt (int .Values.shards) 1 }}9538{{ else }}{{ .Values.service.port }}{{ end -}}
{{- end -}}

{{- define "bullmq-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "bullmq-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bullmq-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "bullmq-exporter.labels" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) "app.kubernetes.io/managed-by" .Release.Service "app.kubernetes.io/version" (.Chart.AppVersion | trunc 63) "app.kubernetes.io/component" "metrics" "app.kubernetes.io/part-of" "bullmq-exporter" -}}
{{- toYaml (mergeOverwrite (dict) (.Values.commonLabels | default dict) $own (include "bullmq-exporter.selectorLabels" . | fromYaml)) -}}
{{- end -}}

{{- /* The metadata of an object. Takes a dict: root, name, and optionally namespace, labels, annotations. */ -}}
{{- define "bullmq-exporter.metadata" -}}
name: {{ toYaml .name }}
namespace: {{ .namespace | default (include "bullmq-exporter.namespace" .root) | toYaml }}
labels:
  {{- toYaml (mergeOverwrite (dict) (.labels | default dict) (include "bullmq-exporter.labels" .root | fromYaml)) | nindent 2 }}
{{- with mergeOverwrite (dict) (.root.Values.commonAnnotations | default dict) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "bullmq-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "bullmq-exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* A reference to an image. Takes [root, image, default tag]. */ -}}
{{- define "bullmq-exporter.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $root.Values.global.imageRegistry | default $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (index . 2) }}{{ end -}}
{{- end -}}

{{- define "bullmq-exporter.imagePullSecrets" -}}
{{- $secrets := .Values.imagePullSecrets | default list -}}
{{- range .Values.global.imagePullSecrets -}}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- with $secrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A value as YAML, or a string of YAML, through tpl. Takes [root, value]. */ -}}
{{- define "bullmq-exporter.tpl" -}}
{{- $value := index . 1 -}}
{{- tpl (ternary $value (toYaml $value) (kindIs "string" $value)) (index . 0) -}}
{{- end -}}

{{- define "bullmq-exporter.folder" -}}/etc/bullmq-exporter{{- end -}}

{{- /* "true" if what `redis` says needs a file, because there is no flag for it. */ -}}
{{- define "bullmq-exporter.redisNeedsFile" -}}
{{- $redis := .Values.redis -}}
{{- if or $redis.tls.existingSecret $redis.tls.serverName $redis.sentinel.username $redis.sentinel.existingSecret $redis.readFrom }}true{{ end -}}
{{- end -}}

{{- /* The text of --config.file, if the chart makes it. */ -}}
{{- define "bullmq-exporter.config" -}}
{{- if .Values.config -}}
{{- toYaml .Values.config -}}
{{- else if include "bullmq-exporter.redisNeedsFile" . -}}
{{- $redis := .Values.redis -}}
{{- $folder := include "bullmq-exporter.folder" . -}}
{{- $server := dict "name" "default" "url" $redis.url -}}
{{- if and $redis.existingSecret.name $redis.existingSecret.passwordKey -}}
{{- $_ := set $server "password_file" (printf "%s/redis/password" $folder) -}}
{{- end -}}
{{- $tls := dict -}}
{{- with $redis.tls -}}
{{- if .caKey }}{{ $_ := set $tls "ca_file" (printf "%s/redis-tls/ca.crt" $folder) }}{{ end -}}
{{- if .certKey }}{{ $_ := set $tls "cert_file" (printf "%s/redis-tls/tls.crt" $folder) }}{{ end -}}
{{- if .keyKey }}{{ $_ := set $tls "key_file" (printf "%s/redis-tls/tls.key" $folder) }}{{ end -}}
{{- if .serverName }}{{ $_ := set $tls "server_name" .serverName }}{{ end -}}
{{- end -}}
{{- if $tls }}{{ $_ := set $server "tls" $tls }}{{ end -}}
{{- $sentinel := dict -}}
{{- with $redis.sentinel.username }}{{ $_ := set $sentinel "username" . }}{{ end -}}
{{- if $redis.sentinel.existingSecret }}{{ $_ := set $sentinel "password_file" (printf "%s/sentinel/password" $folder) }}{{ end -}}
{{- if $sentinel }}{{ $_ := set $server "sentinel" $sentinel }}{{ end -}}
{{- with $redis.readFrom }}{{ $_ := set $server "read_from" . }}{{ end -}}
{{- toYaml (dict "redis" (list $server)) -}}
{{- end -}}
{{- end -}}

{{- /* "true" if --config.file is given, whoever makes the file. */ -}}
{{- define "bullmq-exporter.hasConfig" -}}
{{- if or .Values.existingConfigSecret.name (include "bullmq-exporter.config" .) }}true{{ end -}}
{{- end -}}

{{- define "bullmq-exporter.hasWebConfig" -}}
{{- if or .Values.web.existingSecret.name .Values.web.config }}true{{ end -}}
{{- end -}}

{{- define "bullmq-exporter.scheme" -}}
{{- if or (dig "tls_server_config" nil .Values.web.config) (and .Values.web.existingSecret.name .Values.web.existingSecret.tls) }}https{{ else }}http{{ end -}}
{{- end -}}

{{- /* "true" if a request without a user or a client certificate is refused. */ -}}
{{- define "bullmq-exporter.needsCredentials" -}}
{{- $clients := dig "tls_server_config" "client_auth_type" "" .Values.web.config -}}
{{- if or (dig "basic_auth_users" nil .Values.web.config) (has $clients (list "RequireAnyClientCert" "RequireAndVerifyClientCert")) (and .Values.web.existingSecret.name .Values.web.existingSecret.credentials) }}true{{ end -}}
{{- end -}}

{{- /* A path behind the route prefix. Takes [root, path]. */ -}}
{{- define "bullmq-exporter.path" -}}
{{- printf "%s%s" (trimSuffix "/" (index . 0).Values.web.routePrefix) (index . 1) -}}
{{- end -}}

{{- /* A probe with what it asks. Takes [root, probe, path]. With users or client certificates a request over HTTP would be refused, and
the credentials may not stand in the pod's manifest: then the probe only sees whether the port is open. */ -}}
{{- define "bullmq-exporter.probe" -}}
{{- $root := index . 0 -}}
{{- $probe := index . 1 -}}
{{- if or (hasKey $probe "httpGet") (hasKey $probe "tcpSocket") (hasKey $probe "exec") (hasKey $probe "grpc") -}}
{{- toYaml $probe -}}
{{- else if include "bullmq-exporter.needsCredentials" $root -}}
{{- toYaml (mergeOverwrite (dict) $probe (dict "tcpSocket" (dict "port" "metrics"))) -}}
{{- else -}}
{{- $get := dict "path" (include "bullmq-exporter.path" (list $root (index . 2))) "port" "metrics" "scheme" (include "bullmq-exporter.scheme" $root | upper) -}}
{{- toYaml (mergeOverwrite (dict) $probe (dict "httpGet" $get)) -}}
{{- end -}}
{{- end -}}

{{- /* What both kinds of monitor say of the scrape. Takes [root, monitor]. */ -}}
{{- define "bullmq-exporter.endpoint" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
port: metrics
path: {{ include "bullmq-exporter.path" (list $root $root.Values.web.telemetryPath) }}
scheme: {{ include "bullmq-exporter.scheme" $root }}
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
honorLabels: {{ .honorLabels }}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* Every URL of a Redis that the chart can see, as a list in JSON. */ -}}
{{- define "bullmq-exporter.urls" -}}
{{- $urls := list -}}
{{- with .Values.redis.url }}{{ $urls = append $urls . }}{{ end -}}
{{- range (dig "redis" list .Values.config) -}}
{{- with .url }}{{ $urls = append $urls . }}{{ end -}}
{{- end -}}
{{- toJson $urls -}}
{{- end -}}

{{- /* The ports that these URLs name, as a list in JSON; with Sentinels the servers' own default too, because only they know it. */ -}}
{{- define "bullmq-exporter.redisPorts" -}}
{{- $ports := list -}}
{{- range include "bullmq-exporter.urls" . | fromJsonArray -}}
{{- if not (regexMatch "^(redis\\+)?unix://" .) -}}
{{- $sentinel := contains "+sentinel://" . -}}
{{- if $sentinel }}{{ $ports = append $ports 6379 }}{{ end -}}
{{- $hosts := regexReplaceAll "^[^:]*://([^/]*@)?" . "" | regexFind "^[^/?]*" -}}
{{- range splitList "," $hosts -}}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" -}}
{{- $ports = append $ports (int (default (ternary 26379 6379 $sentinel) $port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson ($ports | uniq | sortAlpha) -}}
{{- end -}}

{{- /* Refuses what cannot work, with a sentence each; all of them at once. */ -}}
{{- define "bullmq-exporter.guards" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- $sources := list -}}
{{- if $v.redis.url }}{{ $sources = append $sources "redis.url" }}{{ end -}}
{{- if and $v.redis.existingSecret.name $v.redis.existingSecret.urlKey }}{{ $sources = append $sources "redis.existingSecret.urlKey" }}{{ end -}}
{{- if $v.config }}{{ $sources = append $sources "config" }}{{ end -}}
{{- if $v.existingConfigSecret.name }}{{ $sources = append $sources "existingConfigSecret.name" }}{{ end -}}
{{- if not $sources -}}
{{- $wrong = append $wrong "no Redis is named: set redis.url, for example redis://redis.shop.svc:6379/0, or config for several" -}}
{{- else if gt (len $sources) 1 -}}
{{- $wrong = append $wrong (printf "%s are given, and each says which Redis is read: keep one; several servers stand in config" (join " and " $sources)) -}}
{{- end -}}
{{- range include "bullmq-exporter.urls" . | fromJsonArray -}}
{{- if regexMatch "://[^/]*:[^/]*@" . -}}
{{- $wrong = append $wrong (printf "the URL of %s has a password in it, which everybody could read in the release and in the pod: leave it out and name a Secret by redis.existingSecret.name, or by secretMounts and password_file in config" (regexReplaceAll "^([^:]*://).*@" . "${1}***@")) -}}
{{- end -}}
{{- end -}}
{{- if and (or $v.config $v.existingConfigSecret.name) (or $v.redis.existingSecret.name (include "bullmq-exporter.redisNeedsFile" .)) -}}
{{- $wrong = append $wrong "redis.existingSecret, redis.tls, redis.sentinel and redis.readFrom belong to redis.url: with a configuration file write them there, as password_file, tls, sentinel and read_from" -}}
{{- end -}}
{{- if and $v.redis.existingSecret.urlKey (include "bullmq-exporter.redisNeedsFile" .) -}}
{{- $wrong = append $wrong "redis.tls, redis.sentinel and redis.readFrom need redis.url: they are written into a file beside it, and the URL in the Secret is not known to the chart" -}}
{{- end -}}
{{- if and $v.redis.existingSecret.urlKey (not $v.redis.existingSecret.name) -}}
{{- $wrong = append $wrong "redis.existingSecret.urlKey is given without redis.existingSecret.name" -}}
{{- end -}}
{{- with $v.redis.tls -}}
{{- if and (or .existingSecret .serverName) $v.redis.url (not (regexMatch "^(rediss|valkeys)" $v.redis.url)) -}}
{{- $wrong = append $wrong "redis.tls is given, and redis.url asks for no TLS: write rediss:// in it" -}}
{{- end -}}
{{- if and .existingSecret (not (or .caKey .certKey)) -}}
{{- $wrong = append $wrong "redis.tls.existingSecret is given, and no key of it: set redis.tls.caKey, or redis.tls.certKey and redis.tls.keyKey" -}}
{{- end -}}
{{- if and (or .caKey .certKey .keyKey) (not .existingSecret) -}}
{{- $wrong = append $wrong "keys of redis.tls are given without redis.tls.existingSecret, the Secret that they are in" -}}
{{- end -}}
{{- if ne (empty .certKey) (empty .keyKey) -}}
{{- $wrong = append $wrong "a client certificate needs its key: set both redis.tls.certKey and redis.tls.keyKey" -}}
{{- end -}}
{{- end -}}
{{- if and (or $v.redis.sentinel.username $v.redis.sentinel.existingSecret (eq "replica" $v.redis.readFrom)) $v.redis.url (not (contains "+sentinel://" $v.redis.url)) -}}
{{- $wrong = append $wrong "redis.sentinel and redis.readFrom need Sentinels in redis.url: redis+sentinel://host:26379/MASTER" -}}
{{- end -}}
{{- if and $v.web.config $v.web.existingSecret.name -}}
{{- $wrong = append $wrong "web.config and web.existingSecret.name are given: keep one" -}}
{{- end -}}
{{- if and (gt (int $v.replicaCount) 1) (not $v.acknowledgeDuplicateSeries) -}}
{{- $wrong = append $wrong (printf "replicaCount is %d: each exporter serves every queue, so a sum over the series counts every job %d times; set acknowledgeDuplicateSeries: true once your queries take max by (redis, prefix, queue) first" (int $v.replicaCount) (int $v.replicaCount)) -}}
{{- end -}}
{{- if gt (int $v.shards) 1 -}}
{{- if gt (int $v.replicaCount) 1 -}}
{{- $wrong = append $wrong (printf "shards is %d and replicaCount is %d: the shards are the replicas, and each queue is read by one of them; leave replicaCount at 1" (int $v.shards) (int $v.replicaCount)) -}}
{{- else if eq (int $v.replicaCount) 0 -}}
{{- $wrong = append $wrong "replicaCount is 0, which stops a Deployment, and with shards there is none: set shards: 1 too" -}}
{{- end -}}
{{- if ne $v.service.type "ClusterIP" -}}
{{- $wrong = append $wrong (printf "service.type is %s: behind one address each request would reach another shard, and so other queues; with shards leave it at ClusterIP, and let Prometheus find the pods" $v.service.type) -}}
{{- end -}}
{{- if semverCompare "<1.28.0-0" .Capabilities.KubeVersion.Version -}}
{{- $wrong = append $wrong (printf "shards needs Kubernetes 1.28, from which on a pod of a StatefulSet knows its index by a label; this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- $minimum := $v.podDisruptionBudget.minAvailable -}}
{{- if and (not (kindIs "invalid" $minimum)) (not (kindIs "string" $minimum)) (ge (int $minimum) (int $v.shards)) -}}
{{- $wrong = append $wrong (printf "podDisruptionBudget.minAvailable is %d of %d shards, so that no node could be drained: leave it out, and one shard at a time may go" (int $minimum) (int $v.shards)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled -}}
{{- $wrong = append $wrong "serviceMonitor and podMonitor are both enabled, and every series would exist twice: keep one" -}}
{{- end -}}
{{- if and (not (empty $v.podDisruptionBudget.minAvailable)) (not (empty $v.podDisruptionBudget.maxUnavailable)) -}}
{{- $wrong = append $wrong "podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable are given: Kubernetes takes one" -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.redisPorts) (or (not (include "bullmq-exporter.urls" . | fromJsonArray)) ) -}}
{{- if $sources -}}
{{- $wrong = append $wrong "networkPolicy.redisPorts is empty, and the URL stands in a Secret: name the ports of Redis, or it could not be reached" -}}
{{- end -}}
{{- end -}}
{{- if $wrong }}{{ fail (printf "\n\n- %s\n" (join "\n- " $wrong)) }}{{ end -}}
{{- end -}}

{{- /* Labels of the pod of `helm test`; the name differs from the exporter's, or the Service would choose it. */ -}}
{{- define "bullmq-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "bullmq-exporter.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}
