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
allowInlineWorkflows: {{ .Values.allowInlineWorkflows }}
allowRecordedAnswers: {{ .Values.allowRecordedAnswers | toJson }}
requireUsableServiceAccounts: {{ .Values.requireUsableServiceAccounts }}
referenceChecks: {{ .Values.referenceChecks }}
requireUsableSecrets: {{ .Values.requireUsableSecrets }}
podDefaults: {{ .Values.podDefaults | default dict | toJson }}
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
{{- define "podium.operatorRules" -}}
# Definitions are read, never changed.
- apiGroups: [podium.dev]
  resources: [workflows]
  verbs: [get, list, watch]
# Requests stand in a run's annotations and are taken off; ended runs go at their TTL. Podium makes
# no runs of its own.
- apiGroups: [podium.dev]
  resources: [workflowruns]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [podium.dev]
  resources: [workflows/status, workflowruns/status]
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
# list: why the Job controller could not make a Pod (quota, admission) stands only in its Events.
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch, list]
# The definition that a run is pinned to.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, create, delete]
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

{{/*
docs/security.md, said once more to the API server: what a Pod may be that Podium makes. The
argument is the path of the Pod's spec in the object. Nothing here lists what is forbidden where what
is allowed can be listed. Several rules may be broken at once, the API server tells the first.
*/}}
{{- define "podium.podPolicy" -}}
{{- $path := .path -}}
{{- $own := .root.Values.podDefaults | default dict -}}
{{- $injected := .root.Values.admissionPolicies.allowedInjection -}}
variables:
- name: spec
  expression: object.{{ $path }}
- name: pod
  expression: object.{{ trimSuffix "spec" $path }}metadata
- name: everyContainer
  expression: variables.spec.containers + variables.spec.?initContainers.orValue([])
# All but those that webhooks may add: a mesh's set up the network, with rights that no node has.
- name: containers
  {{- if $injected.containers }}
  expression: >-
    variables.everyContainer.filter(c, !(c.name in {{ toJson $injected.containers }}))
  {{- else }}
  expression: variables.everyContainer
  {{- end }}
# The platform's own keys: Podium's, the Job controller's, and what podDefaults sets.
- name: platformLabels
  expression: >-
    {{ concat (list "controller-uid" "job-name") (keys ($own.labels | default dict) | sortAlpha) | toJson }}
- name: platformAnnotations
  expression: >-
    {{ concat (list "kubectl.kubernetes.io/default-container" "kubectl.kubernetes.io/default-logs-container") (keys ($own.annotations | default dict) | sortAlpha) | toJson }}
validations:
{{- range $field := list "hostNetwork" "hostPID" "hostIPC" }}
- expression: "!variables.spec.?{{ $field }}.orValue(false)"
  reason: Forbidden
  message: {{ $path }}.{{ $field }} must not be true
{{- end }}
- expression: variables.everyContainer.all(c, !c.?securityContext.?privileged.orValue(false))
  reason: Forbidden
  message: {{ $path }}.containers[*].securityContext.privileged must not be true
- expression: >-
    variables.containers.all(c, !c.?securityContext.?allowPrivilegeEscalation.orValue(true))
  reason: Forbidden
  message: {{ $path }}.containers[*].securityContext.allowPrivilegeEscalation must be false
- expression: >-
    variables.containers.all(c, c.?securityContext.?capabilities.?add.orValue([]).size() == 0)
  reason: Forbidden
  message: {{ $path }}.containers[*].securityContext.capabilities.add must be empty
- expression: >-
    variables.containers.all(c, 'ALL' in c.?securityContext.?capabilities.?drop.orValue([]))
  reason: Forbidden
  message: {{ $path }}.containers[*].securityContext.capabilities.drop must hold ALL
- expression: >-
    variables.containers.all(c, c.?securityContext.?runAsNonRoot.orValue(
    variables.spec.?securityContext.?runAsNonRoot.orValue(false)))
  reason: Forbidden
  message: {{ $path }}.securityContext.runAsNonRoot must be true, and no container may lift it
- expression: >-
    variables.spec.?securityContext.?runAsUser.orValue(1) != 0
    && variables.containers.all(c, c.?securityContext.?runAsUser.orValue(1) != 0)
  reason: Forbidden
  message: {{ $path }}.securityContext.runAsUser must not be 0, nor that of a container
- expression: >-
    variables.containers.all(c, c.?securityContext.?seccompProfile.?type.orValue(
    variables.spec.?securityContext.?seccompProfile.?type.orValue('')) in ['RuntimeDefault', 'Localhost'])
  reason: Forbidden
  message: {{ $path }}.securityContext.seccompProfile.type must be RuntimeDefault or Localhost
- expression: >-
    !has(variables.spec.securityContext) || (
    variables.spec.securityContext.?sysctls.orValue([]).size() == 0
    && !has(variables.spec.securityContext.seLinuxOptions)
    && !has(variables.spec.securityContext.windowsOptions)
    && variables.spec.securityContext.?appArmorProfile.?type.orValue('') != 'Unconfined')
  reason: Forbidden
  message: >-
    {{ $path }}.securityContext must not set sysctls, seLinuxOptions, windowsOptions or an
    unconfined appArmorProfile
- expression: >-
    variables.containers.all(c, !has(c.securityContext) || (
    c.securityContext.?procMount.orValue('Default') == 'Default'
    && !has(c.securityContext.seLinuxOptions)
    && !has(c.securityContext.windowsOptions)
    && c.securityContext.?appArmorProfile.?type.orValue('') != 'Unconfined'))
  reason: Forbidden
  message: >-
    {{ $path }}.containers[*].securityContext must not set procMount, seLinuxOptions, windowsOptions
    or an unconfined appArmorProfile
# Before the volumes: in a Pod, the server has made a volume of the token by now.
- expression: "!variables.spec.?automountServiceAccountToken.orValue(true)"
  reason: Forbidden
  message: {{ $path }}.automountServiceAccountToken must be false
- expression: >-
    variables.spec.?volumes.orValue([]).all(v, has(v.emptyDir) || has(v.persistentVolumeClaim)
    || has(v.configMap) || has(v.secret) || has(v.projected) || has(v.downwardAPI))
  reason: Forbidden
  message: >-
    {{ $path }}.volumes may only be emptyDir, persistentVolumeClaim, configMap, secret, projected
    or downwardAPI (no hostPath)
- expression: >-
    variables.spec.?volumes.orValue([]).all(v,
    {{- if $injected.volumes }} v.name in {{ toJson $injected.volumes }} ||{{ end }}
    v.?projected.?sources.orValue([]).all(s,
    has(s.configMap) || has(s.secret) || has(s.downwardAPI)))
  reason: Forbidden
  message: >-
    {{ $path }}.volumes[*].projected.sources may only be configMap, secret or downwardAPI (no
    serviceAccountToken)
- expression: "!variables.spec.?enableServiceLinks.orValue(true)"
  reason: Forbidden
  message: {{ $path }}.enableServiceLinks must be false
- expression: "!has(variables.spec.runtimeClassName)"
  reason: Forbidden
  message: {{ $path }}.runtimeClassName must not be set
- expression: variables.spec.?schedulerName.orValue('default-scheduler') == 'default-scheduler'
  reason: Forbidden
  message: {{ $path }}.schedulerName must be default-scheduler
- expression: variables.spec.?nodeName.orValue('') == ''
  reason: Forbidden
  message: {{ $path }}.nodeName must not be set (nodeSelector and affinity may)
- expression: "!has(variables.spec.hostAliases)"
  reason: Forbidden
  message: {{ $path }}.hostAliases must not be set
- expression: >-
    variables.everyContainer.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))
  reason: Forbidden
  message: {{ $path }}.containers[*].ports[*].hostPort must not be set
- expression: >-
    variables.containers.all(c, !has(c.lifecycle) && !has(c.livenessProbe)
    && !has(c.readinessProbe) && !has(c.startupProbe))
  reason: Forbidden
  message: {{ $path }}.containers[*] must not set lifecycle or probes
- expression: >-
    variables.containers.size() == 1
    && variables.spec.containers.exists_one(c, c.name == 'node')
  reason: Forbidden
  message: >-
    {{ $path }}.containers must be one, named node, and initContainers none, but for those of the
    chart's value admissionPolicies.allowedInjection.containers
- expression: >-
    ['podium.dev/run', 'podium.dev/node', 'podium.dev/execution'].all(k,
    k in variables.pod.?labels.orValue({}))
  reason: Forbidden
  message: >-
    {{ trimSuffix "spec" $path }}metadata.labels must hold podium.dev/run, podium.dev/node and
    podium.dev/execution
- expression: >-
    variables.pod.?labels.orValue({}).all(k, !k.matches('^([^/]*\\.)?(kubernetes|k8s)\\.io/')
    || k.startsWith('app.kubernetes.io/') || k.startsWith('batch.kubernetes.io/')
    || k in variables.platformLabels)
  reason: Forbidden
  message: >-
    {{ trimSuffix "spec" $path }}metadata.labels must hold no keys of kubernetes.io or k8s.io but
    app.kubernetes.io and those of podDefaults
- expression: >-
    variables.pod.?annotations.orValue({}).all(k, !k.matches('^([^/]*\\.)?(kubernetes|k8s)\\.io/')
    || k in variables.platformAnnotations)
  reason: Forbidden
  message: >-
    {{ trimSuffix "spec" $path }}metadata.annotations must hold no keys of kubernetes.io or k8s.io but
    kubectl.kubernetes.io/default-container and those of podDefaults
{{- end -}}

{{/* Rules about what users write hold where this installation works. */}}
{{- define "podium.policyScope" -}}
{{- with .Values.watchNamespaces -}}
matchResources:
  namespaceSelector:
    matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: In
      values: {{ toJson . }}
{{- end -}}
{{- end -}}
