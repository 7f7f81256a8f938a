{{/*
The spec of a Pod that mounts a store. Arguments: those of podium.sweepJob, verb and restart (its policy).
*/}}
{{- define "podium.storePod" -}}
restartPolicy: {{ .restart }}
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
  # Else each Pod would change the owner of every file in the store.
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
- name: podium
  image: {{ include "podium.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [{{ .verb }}, --config=/etc/podium/operator.yaml{{ if .only }}, {{ printf "--namespace=%s" .namespace | quote }}{{ end }}{{ with .store }}, {{ printf "--store=%s" . | quote }}{{ end }}]
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
  resources: {{- toYaml .root.Values.artifacts.resources | nindent 4 }}
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
