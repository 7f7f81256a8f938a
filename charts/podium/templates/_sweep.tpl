{{/*
The CronJob that sweeps a store. Arguments: root, name (of its account too), namespace, config (a
ConfigMap with operator.yaml), one of role, secret and claim; only: of this namespace alone, store.
*/}}
{{- define "podium.sweepJob" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "podium.labels" .root | nindent 4 }}
    app.kubernetes.io/component: sweep
spec:
  schedule: {{ .root.Values.artifacts.sweep.schedule | quote }}
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 1
  jobTemplate:
    spec:
      backoffLimit: 1
      activeDeadlineSeconds: 21600
      template:
        metadata:
          labels:
            {{- include "podium.labels" .root | nindent 12 }}
            app.kubernetes.io/component: sweep
        spec:
          {{- include "podium.storePod" (merge (dict "verb" "sweep" "restart" "Never") .) | nindent 10 }}
{{- end -}}
