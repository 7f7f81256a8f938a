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
          restartPolicy: Never
          serviceAccountName: {{ .name }}
          automountServiceAccountToken: true
          enableServiceLinks: false
          securityContext:
            runAsNonRoot: true
            {{- if not .root.Values.arbitraryUserIDs }}
            runAsUser: 65532
            runAsGroup: 65532
            fsGroup: 65532
            {{- end }}
            {{- if .claim }}
            # Else each Job would change the owner of every file in the store.
            fsGroupChangePolicy: OnRootMismatch
            {{- end }}
            seccompProfile:
              type: RuntimeDefault
          {{- with .root.Values.imagePullSecrets }}
          imagePullSecrets: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .root.Values.nodeSelector }}
          nodeSelector: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .root.Values.tolerations }}
          tolerations: {{- toYaml . | nindent 12 }}
          {{- end }}
          containers:
          - name: podium
            image: {{ include "podium.image" .root | quote }}
            imagePullPolicy: {{ .root.Values.image.pullPolicy }}
            args: [sweep, --config=/etc/podium/operator.yaml{{ if .only }}, {{ printf "--namespace=%s" .namespace | quote }}{{ end }}{{ with .store }}, {{ printf "--store=%s" . | quote }}{{ end }}]
            {{- if .role }}
            env:
            - name: AWS_ROLE_ARN
              value: {{ .role | quote }}
            - name: AWS_WEB_IDENTITY_TOKEN_FILE
              value: /podium/store/token
            {{- with .root.Values.artifacts.s3.stsEndpoint }}
            - name: AWS_ENDPOINT_URL_STS
              value: {{ . | quote }}
            {{- end }}
            {{- end }}
            securityContext:
              allowPrivilegeEscalation: false
              readOnlyRootFilesystem: true
              capabilities:
                drop: [ALL]
            resources: {{- toYaml .root.Values.artifacts.resources | nindent 14 }}
            volumeMounts:
            - name: config
              mountPath: /etc/podium
              readOnly: true
            - name: store
              mountPath: /podium/store
              readOnly: {{ not .claim }}
            - name: tmp
              mountPath: /tmp
          volumes:
          - name: config
            configMap:
              name: {{ .config }}
          - name: store
            {{- if .claim }}
            persistentVolumeClaim:
              claimName: {{ .claim | quote }}
            {{- else if .role }}
            projected:
              sources:
              - serviceAccountToken:
                  audience: {{ .root.Values.artifacts.s3.tokenAudience | default "sts.amazonaws.com" | quote }}
                  expirationSeconds: 3600
                  path: token
            {{- else }}
            secret:
              secretName: {{ .secret | quote }}
              defaultMode: 0440
            {{- end }}
          - name: tmp
            emptyDir:
              sizeLimit: 64Mi
{{- end -}}
