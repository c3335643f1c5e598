{{- /* The pod of the exporter, whatever makes it. */ -}}
{{- define "bullmq-exporter.pod" -}}
{{- $folder := include "bullmq-exporter.folder" . -}}
{{- $config := include "bullmq-exporter.config" . -}}
{{- $redis := .Values.redis -}}
{{- $passwordFile := and $redis.existingSecret.name $redis.existingSecret.passwordKey (not $redis.existingSecret.urlKey) -}}
metadata:
  labels:
    {{- toYaml (mergeOverwrite (dict) (.Values.podLabels | default dict) (include "bullmq-exporter.labels" . | fromYaml)) | nindent 4 }}
  {{- $annotations := dict "kubectl.kubernetes.io/default-container" "exporter" }}
  {{- if $config }}{{ $_ := set $annotations "checksum/config" (sha256sum $config) }}{{ end }}
  {{- with .Values.web.config }}{{ $_ := set $annotations "checksum/web-config" (toYaml . | sha256sum) }}{{ end }}
  annotations:
    {{- toYaml (mergeOverwrite $annotations (.Values.commonAnnotations | default dict) (.Values.podAnnotations | default dict)) | nindent 4 }}
spec:
  {{- with include "bullmq-exporter.imagePullSecrets" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  serviceAccountName: {{ include "bullmq-exporter.serviceAccountName" . | toYaml }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
  # Kubernetes would make variables such as BULLMQ_EXPORTER_PORT of the Services, and the exporter reads variables that begin so.
  enableServiceLinks: false
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .Values.schedulerName }}
  schedulerName: {{ . }}
  {{- end }}
  {{- with .Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- range $field := list "dnsConfig" "hostAliases" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "initContainers" }}
  {{- with get $.Values $field }}
  {{ $field }}:
    {{- include "bullmq-exporter.tpl" (list $ .) | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ include "bullmq-exporter.image" (list . .Values.image .Chart.AppVersion) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- if include "bullmq-exporter.hasConfig" . }}
        - --config.file={{ $folder }}/config/exporter.yaml
        {{- else if $redis.url }}
        - {{ printf "--redis.url=%s" $redis.url | quote }}
        {{- end }}
        {{- if and $passwordFile (not (include "bullmq-exporter.hasConfig" .)) }}
        - --redis.password-file={{ $folder }}/redis/password
        {{- end }}
        {{- /* Kubernetes would take $(NAME) for a variable, and a queue may be called so. */}}
        {{- range .Values.bullmq.prefixes }}
        - {{ printf "--bullmq.prefix=%s" . | replace "$(" "$$(" | quote }}
        {{- end }}
        {{- range .Values.bullmq.queues }}
        - {{ printf "--bullmq.queue=%s" . | replace "$(" "$$(" | quote }}
        {{- end }}
        {{- range .Values.bullmq.exclude }}
        - {{ printf "--bullmq.exclude=%s" . | replace "$(" "$$(" | quote }}
        {{- end }}
        {{- range .Values.bullmq.horizons }}
        - {{ printf "--bullmq.horizon=%s" . | replace "$(" "$$(" | quote }}
        {{- end }}
        {{- with .Values.discovery.interval }}
        - --discovery.interval={{ . }}
        {{- end }}
        {{- with .Values.scrape.timeout }}
        - --scrape.timeout={{ . }}
        {{- end }}
        {{- if gt (int .Values.shards) 1 }}
        - --bullmq.shard=$(POD_INDEX)/{{ .Values.shards }}
        {{- end }}
        - --collect.workers={{ .Values.collect.workers }}
        - --collect.events={{ .Values.collect.events }}
        {{- range $name := list "ahead" "ages" "limits" "schedulers" "counters" "groups" }}
        {{- if not (get $.Values.collect $name) }}
        - --collect.{{ $name }}=false
        {{- end }}
        {{- end }}
        {{- if ne .Values.web.telemetryPath "/metrics" }}
        - --web.telemetry-path={{ .Values.web.telemetryPath }}
        {{- end }}
        {{- if ne .Values.web.routePrefix "/" }}
        - --web.route-prefix={{ .Values.web.routePrefix }}
        {{- end }}
        {{- if include "bullmq-exporter.hasWebConfig" . }}
        - --web.config.file={{ $folder }}/web/web-config.yml
        {{- end }}
        - --log.level={{ .Values.log.level }}
        - --log.format={{ .Values.log.format }}
        {{- with .Values.extraArgs }}
        {{- include "bullmq-exporter.tpl" (list $ .) | nindent 8 }}
        {{- end }}
      {{- $sharded := gt (int .Values.shards) 1 }}
      {{- if or $sharded $redis.existingSecret.urlKey .Values.extraEnv }}
      env:
        {{- if $sharded }}
        - name: POD_INDEX
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
        {{- end }}
        {{- if $redis.existingSecret.urlKey }}
        - name: BULLMQ_EXPORTER_REDIS_URL
          valueFrom:
            secretKeyRef: {name: {{ $redis.existingSecret.name | quote }}, key: {{ $redis.existingSecret.urlKey | quote }}}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- include "bullmq-exporter.tpl" (list $ .) | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- include "bullmq-exporter.tpl" (list $ .) | nindent 8 }}
      {{- end }}
      ports:
        - {name: metrics, containerPort: 9538, protocol: TCP}
      {{- with .Values.livenessProbe }}
      livenessProbe:
        {{- include "bullmq-exporter.probe" (list $ . "/-/healthy") | nindent 8 }}
      {{- end }}
      {{- with .Values.readinessProbe }}
      readinessProbe:
        {{- include "bullmq-exporter.probe" (list $ . "/-/ready") | nindent 8 }}
      {{- end }}
      {{- with .Values.startupProbe }}
      startupProbe:
        {{- include "bullmq-exporter.probe" (list $ . "/-/healthy") | nindent 8 }}
      {{- end }}
      {{- with .Values.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- $mounts := include "bullmq-exporter.mounts" . | fromYamlArray }}
      {{- if or $mounts .Values.extraVolumeMounts }}
      volumeMounts:
        {{- with $mounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- include "bullmq-exporter.tpl" (list $ .) | nindent 8 }}
        {{- end }}
      {{- end }}
    {{- with .Values.extraContainers }}
    {{- include "bullmq-exporter.tpl" (list $ .) | nindent 4 }}
    {{- end }}
  {{- $volumes := include "bullmq-exporter.volumes" . | fromYamlArray }}
  {{- if or $volumes .Values.extraVolumes }}
  volumes:
    {{- with $volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- include "bullmq-exporter.tpl" (list $ .) | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}
