{{- /* The volumes of the pod, as a list. A folder is mounted rather than a file in it, because Kubernetes renews the first only, and the
exporter follows its files. */ -}}
{{- define "bullmq-exporter.volumes" -}}
{{- $redis := .Values.redis -}}
{{- if .Values.existingConfigSecret.name }}
- name: config
  secret:
    secretName: {{ .Values.existingConfigSecret.name | toYaml }}
    defaultMode: 0440
    items: [{key: {{ .Values.existingConfigSecret.key | quote }}, path: exporter.yaml}]
{{- else if include "bullmq-exporter.config" . }}
- name: config
  configMap:
    name: {{ include "bullmq-exporter.suffixed" (list . "config") | toYaml }}
{{- end }}
{{- if and $redis.existingSecret.name $redis.existingSecret.passwordKey (not $redis.existingSecret.urlKey) }}
- name: redis
  secret:
    secretName: {{ $redis.existingSecret.name | toYaml }}
    defaultMode: 0440
    items: [{key: {{ $redis.existingSecret.passwordKey | quote }}, path: password}]
{{- end }}
{{- with $redis.tls }}
{{- if .existingSecret }}
- name: redis-tls
  secret:
    secretName: {{ .existingSecret | toYaml }}
    defaultMode: 0440
    items:
      {{- if .caKey }}
      - {key: {{ .caKey | quote }}, path: ca.crt}
      {{- end }}
      {{- if .certKey }}
      - {key: {{ .certKey | quote }}, path: tls.crt}
      {{- end }}
      {{- if .keyKey }}
      - {key: {{ .keyKey | quote }}, path: tls.key}
      {{- end }}
{{- end }}
{{- end }}
{{- with $redis.sentinel }}
{{- if .existingSecret }}
- name: sentinel
  secret:
    secretName: {{ .existingSecret | toYaml }}
    defaultMode: 0440
    items: [{key: {{ .passwordKey | quote }}, path: password}]
{{- end }}
{{- end }}
{{- if include "bullmq-exporter.hasWebConfig" . }}
- name: web
  secret:
    secretName: {{ .Values.web.existingSecret.name | default (include "bullmq-exporter.suffixed" (list . "web")) | toYaml }}
    defaultMode: 0440
    items: [{key: {{ ternary .Values.web.existingSecret.key "web-config.yml" (not (empty .Values.web.existingSecret.name)) | quote }}, path: web-config.yml}]
{{- end }}
{{- range $index, $mount := .Values.secretMounts }}
- name: secret-{{ $index }}
  secret:
    secretName: {{ $mount.name | toYaml }}
    defaultMode: 0440
    {{- with $mount.items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end -}}

{{- /* Where they are mounted. */ -}}
{{- define "bullmq-exporter.mounts" -}}
{{- $folder := include "bullmq-exporter.folder" . -}}
{{- range include "bullmq-exporter.volumes" . | fromYamlArray }}
{{- if not (hasPrefix "secret-" .name) }}
- {name: {{ .name }}, mountPath: {{ $folder }}/{{ .name }}, readOnly: true}
{{- end }}
{{- end }}
{{- range $index, $mount := .Values.secretMounts }}
- {name: secret-{{ $index }}, mountPath: {{ $folder }}/secrets/{{ $mount.name }}, readOnly: true}
{{- end }}
{{- end -}}
