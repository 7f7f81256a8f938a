{{/* Name of everything in the release: the release's, with the chart's where that is not in it. */}}
{{- define "podium.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- define "podium.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "podium.labels" -}}
{{ include "podium.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: podium
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "podium.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "podium.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "podium.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* The operator as the API server names it. */}}
{{- define "podium.username" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "podium.serviceAccountName" .) -}}
{{- end -}}

{{/* Fits a label value, and spec.managedBy of a Job behind "podium.dev/". */}}
{{- define "podium.installation" -}}
{{- .Values.installation | default (printf "%s.%s" .Release.Namespace .Release.Name | trunc 52 | trimAll "-.") -}}
{{- end -}}

{{/* Settings of artifacts as JSON, what is left out filled in; without s3 and pvc there is no store. */}}
{{- define "podium.artifacts" -}}
{{- $given := .Values.artifacts -}}
{{- $s3 := dict -}}
{{- range $key, $value := $given.s3 }}{{- if $value }}{{- $_ := set $s3 $key $value }}{{- end }}{{- end -}}
{{- $pvc := dict -}}
{{- range $key, $value := $given.pvc }}{{- if $value }}{{- $_ := set $pvc $key $value }}{{- end }}{{- end -}}
{{- if and $s3.bucket $pvc.claimName -}}
{{- fail "artifacts: set one of s3.bucket and pvc.claimName" -}}
{{- end -}}
{{- if and $s3.bucket (eq (empty $s3.credentialsSecret) (empty $s3.roleARN)) -}}
{{- fail "artifacts.s3: set one of credentialsSecret and roleARN" -}}
{{- end -}}
{{- $audience := $s3.tokenAudience | default "sts.amazonaws.com" -}}
{{- $_ := unset $s3 "tokenAudience" -}}
{{- $sts := $s3.stsEndpoint | default "" -}}
{{- $_ := unset $s3 "stsEndpoint" -}}
{{- with $s3.addressing }}{{- $_ := set $s3 "addressing" (title .) }}{{- end -}}
{{- $made := dict "image" ($given.image | default (include "podium.image" .)) "uploadSeconds" (int64 $given.uploadSeconds) "allowedHosts" ($given.allowedHosts | default list) "caBundle" ($given.caBundle | default "") "sizeLimit" (toString $given.sizeLimit) "resources" ($given.resources | default dict) "tokenAudience" $audience "stsEndpoint" $sts -}}
{{- if $given.logs.enabled }}{{- $_ := set $made "logs" (dict "enabled" true "keepBytes" (int64 $given.logs.keepBytes) "namespaces" $given.logs.namespaces) }}{{- end -}}
{{- if $s3.bucket }}{{- $_ := set $made "s3" $s3 }}{{- else if $pvc.claimName }}{{- $_ := set $made "pvc" $pvc }}{{- end -}}
{{- toJson $made -}}
{{- end -}}

{{/* operator.yaml: what `podium operator --config` reads. */}}
{{- define "podium.config" -}}
namespaces: {{ .Values.watchNamespaces | default list | toJson }}
installation: {{ include "podium.installation" . | quote }}
runnerImage: {{ .Values.runnerImage | default (include "podium.image" .) | quote }}
livenessPort: {{ .Values.livenessPort }}
jobs:
  succeededTTLSeconds: {{ int64 .Values.jobs.succeededTTLSeconds }}
  failedTTLSeconds: {{ int64 .Values.jobs.failedTTLSeconds }}
  maxEnded: {{ int64 .Values.jobs.maxEnded }}
limits:
  maxRunning: {{ int64 .Values.limits.maxRunning }}
  maxRunningPerNamespace: {{ int64 .Values.limits.maxRunningPerNamespace }}
  maxActiveRunsPerNamespace: {{ int64 .Values.limits.maxActiveRunsPerNamespace }}
  activeRunsMegabytes: {{ int64 .Values.limits.activeRunsMegabytes }}
  activeRunsMegabytesPerNamespace: {{ int64 .Values.limits.activeRunsMegabytesPerNamespace }}
outputs:
  fromLogs: {{ .Values.outputs.fromLogs }}
allowInlineWorkflows: {{ .Values.allowInlineWorkflows }}
allowExecutors: {{ .Values.allowExecutors }}
allowRecordedAnswers: {{ .Values.allowRecordedAnswers | toJson }}
requestersAreVerified: {{ and .Values.admissionPolicies.enabled (dig "requestedBy" "enabled" false .Values.admissionPolicies) }}
approversAreVerified: {{ and .Values.admissionPolicies.enabled .Values.admissionPolicies.approvals.enabled }}
overridesAreVerified: {{ .Values.admissionPolicies.enabled }}
creatorsAreVerified: {{ and .Values.admissionPolicies.enabled .Values.admissionPolicies.executions.enabled }}
requireUsableServiceAccounts: {{ .Values.requireUsableServiceAccounts }}
referenceChecks: {{ .Values.referenceChecks }}
requireUsableSecrets: {{ .Values.requireUsableSecrets }}
podDefaults: {{ .Values.podDefaults | default dict | toJson }}
arbitraryUserIDs: {{ .Values.arbitraryUserIDs }}
artifacts: {{ include "podium.artifacts" . }}
leaderElection:
  leaseDurationSeconds: {{ .Values.leaderElection.leaseDurationSeconds }}
  renewDeadlineSeconds: {{ .Values.leaderElection.renewDeadlineSeconds }}
  retryPeriodSeconds: {{ .Values.leaderElection.retryPeriodSeconds }}
  requestTimeoutSeconds: {{ .Values.leaderElection.requestTimeoutSeconds }}
featureGates: {{ .Values.featureGates | default dict | toJson }}
logLevel: {{ .Values.logLevel }}
logFormat: {{ .Values.logFormat }}
{{- end -}}

{{/* What the operator may do in a namespace it works in, with the reason for each rule. */}}
{{/* Helm builds all objects before it makes the first: of a kind that comes with it, it cannot. */}}
{{- define "podium.requireExecutors" -}}
{{- if not .Values.allowExecutors -}}
{{- fail "executors.*.enabled: set allowExecutors, or none of these" -}}
{{- end -}}
{{- if not (.Capabilities.APIVersions.Has "podium.dev/v1alpha1/ClusterExecutor") -}}
{{- fail "executors.*.enabled: the API server does not know ClusterExecutors yet: install Podium first, then helm upgrade with this value" -}}
{{- end -}}
{{- end -}}

{{- define "podium.operatorRules" -}}
# Definitions are read, never changed.
- apiGroups: [podium.dev]
  resources: [workflows, executors, clusterexecutors, artifactstores, contractschemas]
  verbs: [get, list, watch]
- apiGroups: [podium.dev]
  resources: [personas, modelconfigs]
  verbs: [get]
# Requests stand in a run's annotations and are taken off; ended runs go at their TTL. A node with the
# executor workflow has a run of its own made, in the namespace of its run.
- apiGroups: [podium.dev]
  resources: [workflowruns]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [podium.dev]
  resources: [workflows/status, workflowruns/status, contractschemas/status]
  verbs: [patch]
# The node states of large runs; they never change.
- apiGroups: [podium.dev]
  resources: [workflowrunnodes]
  verbs: [list, create, delete]
# ownerReferences with blockOwnerDeletion, where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [podium.dev]
  resources: [workflowruns/finalizers]
  verbs: [update]
# A Job for each execution of a node.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# Podium makes the Pods of its Jobs (feature gate ManagedJobs) and keeps the status of these Jobs.
- apiGroups: [batch]
  resources: [jobs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs/finalizers]
  verbs: [update]
# It makes the Pods, reads how they end, deletes those it must stop, and takes its finalizer off.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.outputs.fromLogs }}
# What programs printed, where values of outputs come from it: of Pods that have ended, 4 KB.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}
# list: why the Job controller could not make a Pod (quota, admission), and what keeps a volume from
# being bound, stands only in Events.
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch, list]
# The definition that a run is pinned to.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, create, delete]
# The volumes of runs. Those that are not kept, the server deletes with their run.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, create]
# Whether a ServiceAccount that a node names carries the label podium.dev/usable.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
{{- if .Values.referenceChecks }}
# Whether what nodes name is there and may be used: its metadata is asked for, never what it holds.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get]
{{- end }}
{{- end -}}
