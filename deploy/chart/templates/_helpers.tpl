{{- define "tocsin.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tocsin.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tocsin.labels" -}}
{{ include "tocsin.selector" . }}
{{ include "tocsin.about" . }}
{{- end }}

{{- define "tocsin.about" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The alert TocsinCanaryFailing knows the CronJob by how its name begins. 52 characters leave room for a Job's. */ -}}
{{- define "tocsin.canary" -}}
{{ printf "%s-canary-%s" .Chart.Name .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /* Unlike those of the service in every label it is found by: no call of an EHR may end at a canary. */ -}}
{{- define "tocsin.canarySelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-canary
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tocsin.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* A setting as the text of its environment variable. Helm reads large numbers as floats. */ -}}
{{- define "tocsin.value" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else if kindIs "bool" . }}{{ ternary "on" "off" . }}{{ else if kindIs "float64" . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* What every pod of the chart may do: nothing of the cluster, nothing as root. */ -}}
{{- define "tocsin.pod" -}}
serviceAccountName: {{ include "tocsin.name" . }}
automountServiceAccountToken: false
# The variables of a Service named tocsin would look like settings.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ int . }}
  runAsGroup: {{ int . }}
  fsGroup: {{ int . }}
  {{- end }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tocsin.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Where the site file is in the pod; empty without one. */ -}}
{{- define "tocsin.site" -}}
{{- if and .Values.site .Values.siteConfigMap }}{{ fail "site and siteConfigMap: the site file comes from one of them" }}{{ end }}
{{- if .Values.siteConfigMap }}/etc/tocsin-site/site.yaml{{ else if .Values.site }}/etc/tocsin/site.yaml{{ end }}
{{- end }}

{{- /* The volume that has the archive of rules; empty without one. */ -}}
{{- define "tocsin.rules" -}}
{{- $places := list }}
{{- with .Values.rules.configMap }}{{ $places = append $places (dict "configMap" (dict "name" .)) }}{{ end }}
{{- with .Values.rules.existingSecret }}{{ $places = append $places (dict "secret" (dict "secretName" . "defaultMode" 0440)) }}{{ end }}
{{- with .Values.rules.volume }}{{ $places = append $places . }}{{ end }}
{{- if gt (len $places) 1 }}{{ fail "rules: name one of configMap, existingSecret and volume" }}{{ end }}
{{- if and $places (not .Values.rules.publicKeys) }}{{ fail "rules.publicKeys: an archive is taken only when one of these keys has signed it" }}{{ end }}
{{- if and .Values.rules.publicKeys (not $places) }}{{ fail "rules: the public keys are for an archive; say where it is" }}{{ end }}
{{- if $places }}{{ toYaml (first $places) }}{{ end }}
{{- end }}

{{- define "tocsin.rulesKeys" -}}
{{- $files := list }}
{{- range $number, $key := .Values.rules.publicKeys }}{{ $files = append $files (printf "/etc/tocsin/rules-%d.pem" (add1 $number)) }}{{ end }}
{{- join "," $files }}
{{- end }}

{{- /* The clients file. YAML 1.1, as Helm reads it, takes the bare name of the member y of an elliptic key for true. */ -}}
{{- define "tocsin.clients" -}}
{{- range .Values.clients.clients }}
{{- if kindIs "map" .jwks }}
{{- range .jwks.keys }}
{{- if hasKey . "true" }}{{ fail "clients: a key has lost its member y: write \"y\" with quotes, or paste the key as JSON" }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml .Values.clients }}
{{- end }}
