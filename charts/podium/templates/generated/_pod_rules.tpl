{{/* Generated from podium.cluster.jobs.closed_list by `make crds`: do not edit. */}}

{{/* podium.podVariables has its variables */}}
{{- define "podium.podRules" -}}
{{- $allow := .allow -}}
{{- $spec := .spec -}}
{{- $meta := .meta -}}
- expression: >-
    !variables.restricts || (variables.spec.all(k, k in ['automountServiceAccountToken', 'enableServiceLinks', 'restartPolicy', 'securityContext', 'volumes', 'priorityClassName', 'schedulerName', 'dnsPolicy', 'hostUsers', 'overhead', 'containers', 'initContainers', 'imagePullSecrets', 'nodeSelector', 'tolerations', 'affinity', 'priority', 'preemptionPolicy', 'serviceAccountName', 'serviceAccount', 'terminationGracePeriodSeconds', 'hostname'] || (k == 'runtimeClassName' && {{ not (empty $allow.runtimeClasses) }})))
  reason: Forbidden
  message: >-
    {{ $spec }} may hold only automountServiceAccountToken, enableServiceLinks, restartPolicy, securityContext, volumes, priorityClassName, schedulerName, dnsPolicy, hostUsers, overhead, containers, initContainers, imagePullSecrets, nodeSelector, tolerations, affinity, priority, preemptionPolicy, serviceAccountName, serviceAccount, terminationGracePeriodSeconds, hostname
- expression: >-
    !variables.restricts || (has(variables.spec.automountServiceAccountToken) && variables.spec.automountServiceAccountToken == false)
  reason: Forbidden
  message: >-
    {{ $spec }}.automountServiceAccountToken must be false
- expression: >-
    !variables.restricts || (has(variables.spec.enableServiceLinks) && variables.spec.enableServiceLinks == false)
  reason: Forbidden
  message: >-
    {{ $spec }}.enableServiceLinks must be false
- expression: >-
    !variables.restricts || (has(variables.spec.restartPolicy) && variables.spec.restartPolicy == 'Never')
  reason: Forbidden
  message: >-
    {{ $spec }}.restartPolicy must be Never
- expression: >-
    !variables.restricts || (has(variables.spec.securityContext) && variables.spec.securityContext.all(k, k in ['runAsNonRoot', 'runAsUser', 'runAsGroup', 'fsGroup', 'fsGroupChangePolicy', 'seccompProfile', 'appArmorProfile'] || (k == 'seLinuxOptions' && {{ not (empty $allow.anyUser) }})) && has(variables.spec.securityContext.runAsNonRoot) && variables.spec.securityContext.runAsNonRoot == true && (!has(variables.spec.securityContext.runAsUser) || ((variables.spec.securityContext.runAsUser == 65532 || ({{ $allow.anyUser }} && variables.spec.securityContext.runAsUser > 0)))) && (!has(variables.spec.securityContext.runAsGroup) || ((variables.spec.securityContext.runAsGroup == 65532 || ({{ $allow.anyUser }} && variables.spec.securityContext.runAsGroup > 0)))) && (!has(variables.spec.securityContext.fsGroup) || ((variables.spec.securityContext.fsGroup == 65532 || ({{ $allow.anyUser }} && variables.spec.securityContext.fsGroup > 0)))) && has(variables.spec.securityContext.seccompProfile) && variables.spec.securityContext.seccompProfile.all(k, k in ['type']) && has(variables.spec.securityContext.seccompProfile.type) && variables.spec.securityContext.seccompProfile.type == 'RuntimeDefault' && (!has(variables.spec.securityContext.appArmorProfile) || (variables.spec.securityContext.appArmorProfile.all(k, k in ['type']) && has(variables.spec.securityContext.appArmorProfile.type) && variables.spec.securityContext.appArmorProfile.type == 'RuntimeDefault')) && (!has(variables.spec.securityContext.seLinuxOptions) || (variables.spec.securityContext.seLinuxOptions.all(k, k in ['level']))))
  reason: Forbidden
  message: >-
    {{ $spec }}.securityContext must be an object of only runAsNonRoot (required: true), runAsUser (65532, or with arbitraryUserIDs any but 0), runAsGroup (65532, or with arbitraryUserIDs any but 0), fsGroup (65532, or with arbitraryUserIDs any but 0), fsGroupChangePolicy, seccompProfile (required: an object of only type (required: RuntimeDefault)), appArmorProfile (an object of only type (required: RuntimeDefault)), seLinuxOptions (an object of only level)
- expression: >-
    !variables.restricts || ((!has(variables.spec.volumes) || (variables.spec.volumes.all(v, v.all(k, k in ['name', 'emptyDir', 'persistentVolumeClaim', 'configMap', 'secret', 'downwardAPI', 'projected']) && (!has(v.projected) || (v.projected.all(k, k in ['defaultMode', 'sources']) && (!has(v.projected.sources) || (v.projected.sources.all(s, (s.size() > 0 && s.all(k, k in ['configMap', 'secret', 'downwardAPI']) || {{ $allow.tokens }}))))))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.volumes must be a list, each of it an object of only name, emptyDir, persistentVolumeClaim, configMap, secret, downwardAPI, projected (an object of only defaultMode, sources (a list, each of it an object of only configMap, secret, downwardAPI))
- expression: >-
    !variables.restricts || ((!has(variables.spec.priorityClassName) || (!variables.spec.priorityClassName.startsWith('system-'))))
  reason: Forbidden
  message: >-
    {{ $spec }}.priorityClassName must be a name that does not begin with system-
- expression: >-
    !variables.restricts || ((!has(variables.spec.schedulerName) || (variables.spec.schedulerName == 'default-scheduler')))
  reason: Forbidden
  message: >-
    {{ $spec }}.schedulerName must be default-scheduler
- expression: >-
    !variables.restricts || ((!has(variables.spec.dnsPolicy) || (variables.spec.dnsPolicy == 'ClusterFirst')))
  reason: Forbidden
  message: >-
    {{ $spec }}.dnsPolicy must be ClusterFirst
- expression: >-
    !variables.restricts || ((!has(variables.spec.hostUsers) || (variables.spec.hostUsers == false)))
  reason: Forbidden
  message: >-
    {{ $spec }}.hostUsers must be false
- expression: >-
    !variables.restricts || ((!has(variables.spec.runtimeClassName) || (variables.spec.runtimeClassName in {{ $allow.runtimeClasses | toJson }})))
  reason: Forbidden
  message: >-
    {{ $spec }}.runtimeClassName must be the one of podDefaults
- expression: >-
    !variables.restricts || (variables.containers.size() == 1 && variables.spec.containers.exists_one(c, c.name == 'node'))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers must be one, named node, and initContainers none, but for those of artifacts and of the chart's value admissionPolicies.pods.allowedInjection
- expression: >-
    !variables.creates || (variables.spec.containers.all(c, !(c.name in ['podium-collector', 'podium-fetcher'])) && ['podium-collector', 'podium-fetcher'].all(n, variables.helpers.filter(c, c.name == n).size() <= 1))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers may have each of podium-collector, podium-fetcher once, and containers none of them
- expression: >-
    !variables.creates || (variables.everyContainer.all(c, c.name in ['podium-collector', 'podium-fetcher'] || c.?volumeMounts.orValue([]).all(m, m.name != 'podium-store')))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].volumeMounts must not name podium-store: only podium-collector and podium-fetcher may have it
- expression: >-
    !variables.creates || (variables.everyContainer.all(c, c.name == 'podium-fetcher' || c.?volumeMounts.orValue([]).all(m, !m.name.startsWith('podium-from-'))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].volumeMounts must not name podium-from-*: only podium-fetcher may have them
- expression: >-
    !variables.creates || (variables.everyContainer.all(c, c.name == 'podium-collector' || c.?volumeMounts.orValue([]).all(m, !m.name.startsWith('podium-to-'))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].volumeMounts must not name podium-to-*: only podium-collector may have them
- expression: >-
    !variables.creates || (variables.everyContainer.all(c, c.?env.orValue([]).all(e, !(e.?valueFrom.?secretKeyRef.?name.orValue('') in {{ $allow.storeSecrets | toJson }})) && c.?envFrom.orValue([]).all(e, !(e.?secretRef.?name.orValue('') in {{ $allow.storeSecrets | toJson }}))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].env must not name the Secret of the artifact store: only podium-collector and podium-fetcher may have it
- expression: >-
    !variables.creates || (variables.spec.?volumes.orValue([]).all(v, v.name == 'podium-store' || (!(v.?secret.?secretName.orValue('') in {{ $allow.storeSecrets | toJson }}) && !(v.?persistentVolumeClaim.?claimName.orValue('') in {{ $allow.storeClaims | toJson }}) && v.?projected.?sources.orValue([]).all(s, !(s.?secret.?name.orValue('') in {{ $allow.storeSecrets | toJson }})))))
  reason: Forbidden
  message: >-
    {{ $spec }}.volumes must not name the artifact store or its Secret: only podium-collector and podium-fetcher may have it
- expression: >-
    !variables.restricts || (variables.containers.all(c, c.all(k, k in ['name', 'securityContext', 'image', 'imagePullPolicy', 'command', 'args', 'workingDir', 'env', 'resources', 'volumeMounts', 'terminationMessagePath', 'terminationMessagePolicy'])))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] may hold only name, securityContext, image, imagePullPolicy, command, args, workingDir, env, resources, volumeMounts, terminationMessagePath, terminationMessagePolicy
- expression: >-
    !variables.restricts || (variables.containers.all(c, (!has(c.name) || (c.name == 'node'))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].name must be node
- expression: >-
    !variables.restricts || (variables.containers.all(c, has(c.securityContext) && c.securityContext.all(k, k in ['allowPrivilegeEscalation', 'capabilities', 'privileged', 'readOnlyRootFilesystem', 'runAsNonRoot', 'runAsUser', 'runAsGroup', 'seccompProfile', 'appArmorProfile', 'procMount'] || (k == 'seLinuxOptions' && {{ not (empty $allow.anyUser) }})) && has(c.securityContext.allowPrivilegeEscalation) && c.securityContext.allowPrivilegeEscalation == false && has(c.securityContext.capabilities) && c.securityContext.capabilities.all(k, k in ['drop', 'add']) && has(c.securityContext.capabilities.drop) && 'ALL' in c.securityContext.capabilities.drop && (!has(c.securityContext.capabilities.add) || (c.securityContext.capabilities.add.size() == 0)) && (!has(c.securityContext.privileged) || (c.securityContext.privileged == false)) && (!has(c.securityContext.runAsNonRoot) || (c.securityContext.runAsNonRoot == true)) && (!has(c.securityContext.runAsUser) || ((c.securityContext.runAsUser == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsUser > 0)))) && (!has(c.securityContext.runAsGroup) || ((c.securityContext.runAsGroup == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsGroup > 0)))) && (!has(c.securityContext.seccompProfile) || (c.securityContext.seccompProfile.all(k, k in ['type']) && has(c.securityContext.seccompProfile.type) && c.securityContext.seccompProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.appArmorProfile) || (c.securityContext.appArmorProfile.all(k, k in ['type']) && has(c.securityContext.appArmorProfile.type) && c.securityContext.appArmorProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.procMount) || (c.securityContext.procMount == 'Default')) && (!has(c.securityContext.seLinuxOptions) || (c.securityContext.seLinuxOptions.all(k, k in ['level'])))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].securityContext must be an object of only allowPrivilegeEscalation (required: false), capabilities (required: an object of only drop (required: a list with ALL), add (empty)), privileged (false), readOnlyRootFilesystem, runAsNonRoot (true), runAsUser (65532, or with arbitraryUserIDs any but 0), runAsGroup (65532, or with arbitraryUserIDs any but 0), seccompProfile (an object of only type (required: RuntimeDefault)), appArmorProfile (an object of only type (required: RuntimeDefault)), procMount (Default), seLinuxOptions (an object of only level)
- expression: >-
    !variables.restricts || (variables.containers.all(c, (!has(c.env) || (c.env.all(e, (e.all(k, k in ['name', 'value', 'valueFrom']) && (!has(e.valueFrom) || (e.valueFrom.all(k, k in ['secretKeyRef', 'configMapKeyRef', 'fieldRef', 'resourceFieldRef']))) || {{ $allow.env }}))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].env must be a list, each of it an object of only name, value, valueFrom (an object of only secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef)
- expression: >-
    !variables.restricts || (variables.containers.all(c, (!has(c.resources) || (c.resources.all(k, k in ['requests', 'limits'])))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].resources must be an object of only requests, limits
- expression: >-
    !variables.restricts || (variables.containers.all(c, (!has(c.volumeMounts) || (c.volumeMounts.all(m, m.all(k, k in ['name', 'mountPath', 'subPath', 'readOnly', 'recursiveReadOnly', 'mountPropagation']) && (!has(m.recursiveReadOnly) || (m.recursiveReadOnly == 'Disabled')) && (!has(m.mountPropagation) || (m.mountPropagation == 'None')))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*].volumeMounts must be a list, each of it an object of only name, mountPath, subPath, readOnly, recursiveReadOnly (Disabled), mountPropagation (None)
- expression: >-
    !variables.widens || (variables.spec.all(k, k in ['affinity', 'automountServiceAccountToken', 'containers', 'dnsConfig', 'dnsPolicy', 'hostAliases', 'hostIPC', 'hostNetwork', 'hostPID', 'hostUsers', 'hostname', 'imagePullSecrets', 'initContainers', 'nodeSelector', 'os', 'overhead', 'preemptionPolicy', 'priorityClassName', 'resourceClaims', 'runtimeClassName', 'schedulerName', 'securityContext', 'serviceAccountName', 'setHostnameAsFQDN', 'shareProcessNamespace', 'subdomain', 'tolerations', 'topologySpreadConstraints', 'volumes', 'enableServiceLinks', 'restartPolicy', 'priority', 'serviceAccount', 'terminationGracePeriodSeconds']))
  reason: Forbidden
  message: >-
    {{ $spec }} of an Executor may hold only affinity, automountServiceAccountToken, containers, dnsConfig, dnsPolicy, hostAliases, hostIPC, hostNetwork, hostPID, hostUsers, hostname, imagePullSecrets, initContainers, nodeSelector, os, overhead, preemptionPolicy, priorityClassName, resourceClaims, runtimeClassName, schedulerName, securityContext, serviceAccountName, setHostnameAsFQDN, shareProcessNamespace, subdomain, tolerations, topologySpreadConstraints, volumes, enableServiceLinks, restartPolicy, priority, serviceAccount, terminationGracePeriodSeconds
- expression: >-
    !variables.widens || ((!has(variables.spec.priorityClassName) || (!variables.spec.priorityClassName.startsWith('system-'))))
  reason: Forbidden
  message: >-
    {{ $spec }} of an Executor.priorityClassName must be a name that does not begin with system-
- expression: >-
    !variables.widens || (has(variables.spec.enableServiceLinks) && variables.spec.enableServiceLinks == false)
  reason: Forbidden
  message: >-
    {{ $spec }} of an Executor.enableServiceLinks must be false
- expression: >-
    !variables.widens || (has(variables.spec.restartPolicy) && variables.spec.restartPolicy == 'Never')
  reason: Forbidden
  message: >-
    {{ $spec }} of an Executor.restartPolicy must be Never
- expression: >-
    !variables.widens || (variables.containers.all(c, c.all(k, k in ['args', 'command', 'env', 'envFrom', 'image', 'imagePullPolicy', 'lifecycle', 'livenessProbe', 'name', 'ports', 'readinessProbe', 'resizePolicy', 'resources', 'restartPolicy', 'securityContext', 'startupProbe', 'stdin', 'stdinOnce', 'terminationMessagePath', 'terminationMessagePolicy', 'tty', 'volumeDevices', 'volumeMounts', 'workingDir'])))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] of an Executor may hold only args, command, env, envFrom, image, imagePullPolicy, lifecycle, livenessProbe, name, ports, readinessProbe, resizePolicy, resources, restartPolicy, securityContext, startupProbe, stdin, stdinOnce, terminationMessagePath, terminationMessagePolicy, tty, volumeDevices, volumeMounts, workingDir
- expression: >-
    !variables.widens || (variables.containers.all(c, has(c.name)))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] of an Executor.name must be set
- expression: >-
    !variables.widens || (variables.spec.containers.exists_one(c, c.name == 'node'))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers of an Executor must have one that is named node
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || (c.all(k, k in ['name', 'securityContext', 'image', 'imagePullPolicy', 'env', 'resources', 'volumeMounts', 'terminationMessagePath', 'terminationMessagePolicy', 'command', 'restartPolicy', 'lifecycle']))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector] may hold only name, securityContext, image, imagePullPolicy, env, resources, volumeMounts, terminationMessagePath, terminationMessagePolicy, command, restartPolicy, lifecycle
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || ((!has(c.name) || (c.name == 'podium-collector')))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].name must be podium-collector
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || (has(c.securityContext) && c.securityContext.all(k, k in ['allowPrivilegeEscalation', 'capabilities', 'privileged', 'readOnlyRootFilesystem', 'runAsNonRoot', 'runAsUser', 'runAsGroup', 'seccompProfile', 'appArmorProfile', 'procMount'] || (k == 'seLinuxOptions' && {{ not (empty $allow.anyUser) }})) && has(c.securityContext.allowPrivilegeEscalation) && c.securityContext.allowPrivilegeEscalation == false && has(c.securityContext.capabilities) && c.securityContext.capabilities.all(k, k in ['drop', 'add']) && has(c.securityContext.capabilities.drop) && 'ALL' in c.securityContext.capabilities.drop && (!has(c.securityContext.capabilities.add) || (c.securityContext.capabilities.add.size() == 0)) && (!has(c.securityContext.privileged) || (c.securityContext.privileged == false)) && (!has(c.securityContext.runAsNonRoot) || (c.securityContext.runAsNonRoot == true)) && (!has(c.securityContext.runAsUser) || ((c.securityContext.runAsUser == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsUser > 0)))) && (!has(c.securityContext.runAsGroup) || ((c.securityContext.runAsGroup == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsGroup > 0)))) && (!has(c.securityContext.seccompProfile) || (c.securityContext.seccompProfile.all(k, k in ['type']) && has(c.securityContext.seccompProfile.type) && c.securityContext.seccompProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.appArmorProfile) || (c.securityContext.appArmorProfile.all(k, k in ['type']) && has(c.securityContext.appArmorProfile.type) && c.securityContext.appArmorProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.procMount) || (c.securityContext.procMount == 'Default')) && (!has(c.securityContext.seLinuxOptions) || (c.securityContext.seLinuxOptions.all(k, k in ['level']))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].securityContext must be an object of only allowPrivilegeEscalation (required: false), capabilities (required: an object of only drop (required: a list with ALL), add (empty)), privileged (false), readOnlyRootFilesystem, runAsNonRoot (true), runAsUser (65532, or with arbitraryUserIDs any but 0), runAsGroup (65532, or with arbitraryUserIDs any but 0), seccompProfile (an object of only type (required: RuntimeDefault)), appArmorProfile (an object of only type (required: RuntimeDefault)), procMount (Default), seLinuxOptions (an object of only level)
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || (has(c.image) && c.image in {{ $allow.artifactImages | toJson }})))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].image must be the one of the chart's value artifacts
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || ((!has(c.env) || (c.env.all(e, e.all(k, k in ['name', 'value']) && (!has(e.name) || (e.name in ['PODIUM_STORE', 'PODIUM_UPLOAD_SECONDS', 'AWS_ROLE_ARN', 'AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_ENDPOINT_URL_STS', 'PODIUM_ALLOWED_HOSTS', 'PODIUM_AUTHORITIES', 'PODIUM_VALUES']))))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].env must be a list, each of it an object of only name (PODIUM_STORE or PODIUM_UPLOAD_SECONDS or AWS_ROLE_ARN or AWS_WEB_IDENTITY_TOKEN_FILE or AWS_ENDPOINT_URL_STS or PODIUM_ALLOWED_HOSTS or PODIUM_AUTHORITIES or PODIUM_VALUES), value
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || ((!has(c.resources) || (c.resources.all(k, k in ['requests', 'limits']))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].resources must be an object of only requests, limits
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || ((!has(c.volumeMounts) || (c.volumeMounts.all(m, m.all(k, k in ['name', 'mountPath', 'readOnly', 'recursiveReadOnly', 'mountPropagation']) && (!has(m.mountPath) || ((m.mountPath.startsWith('/podium/') && !m.mountPath.contains('..')))) && (!has(m.recursiveReadOnly) || (m.recursiveReadOnly == 'Disabled')) && (!has(m.mountPropagation) || (m.mountPropagation == 'None'))))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].volumeMounts must be a list, each of it an object of only name, mountPath (a string that begins with /podium/), readOnly, recursiveReadOnly (Disabled), mountPropagation (None)
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || ((!has(c.terminationMessagePath) || (c.terminationMessagePath == '/dev/termination-log')))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].terminationMessagePath must be /dev/termination-log
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || (has(c.command) && c.command == ['python3', '-P', '-m', 'podium.artifacts.collector'])))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].command must be [python3, -P, -m, podium.artifacts.collector]
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || (has(c.restartPolicy) && c.restartPolicy == 'Always')))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].restartPolicy must be Always
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-collector' || ((!has(c.lifecycle) || (c.lifecycle.all(k, k in ['postStart']) && (!has(c.lifecycle.postStart) || (c.lifecycle.postStart.all(k, k in ['exec']) && (!has(c.lifecycle.postStart.exec) || (c.lifecycle.postStart.exec.all(k, k in ['command']) && (!has(c.lifecycle.postStart.exec.command) || (c.lifecycle.postStart.exec.command == ['/bin/sh', '-c', 'until [ -e /tmp/podium-collects ]; do sleep 0.05; done'])))))))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-collector].lifecycle must be an object of only postStart (an object of only exec (an object of only command ([/bin/sh, -c, until [ -e /tmp/podium-collects ]; do sleep 0.05; done])))
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || (c.all(k, k in ['name', 'securityContext', 'image', 'imagePullPolicy', 'env', 'resources', 'volumeMounts', 'terminationMessagePath', 'terminationMessagePolicy', 'command']))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher] may hold only name, securityContext, image, imagePullPolicy, env, resources, volumeMounts, terminationMessagePath, terminationMessagePolicy, command
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || ((!has(c.name) || (c.name == 'podium-fetcher')))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].name must be podium-fetcher
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || (has(c.securityContext) && c.securityContext.all(k, k in ['allowPrivilegeEscalation', 'capabilities', 'privileged', 'readOnlyRootFilesystem', 'runAsNonRoot', 'runAsUser', 'runAsGroup', 'seccompProfile', 'appArmorProfile', 'procMount'] || (k == 'seLinuxOptions' && {{ not (empty $allow.anyUser) }})) && has(c.securityContext.allowPrivilegeEscalation) && c.securityContext.allowPrivilegeEscalation == false && has(c.securityContext.capabilities) && c.securityContext.capabilities.all(k, k in ['drop', 'add']) && has(c.securityContext.capabilities.drop) && 'ALL' in c.securityContext.capabilities.drop && (!has(c.securityContext.capabilities.add) || (c.securityContext.capabilities.add.size() == 0)) && (!has(c.securityContext.privileged) || (c.securityContext.privileged == false)) && (!has(c.securityContext.runAsNonRoot) || (c.securityContext.runAsNonRoot == true)) && (!has(c.securityContext.runAsUser) || ((c.securityContext.runAsUser == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsUser > 0)))) && (!has(c.securityContext.runAsGroup) || ((c.securityContext.runAsGroup == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsGroup > 0)))) && (!has(c.securityContext.seccompProfile) || (c.securityContext.seccompProfile.all(k, k in ['type']) && has(c.securityContext.seccompProfile.type) && c.securityContext.seccompProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.appArmorProfile) || (c.securityContext.appArmorProfile.all(k, k in ['type']) && has(c.securityContext.appArmorProfile.type) && c.securityContext.appArmorProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.procMount) || (c.securityContext.procMount == 'Default')) && (!has(c.securityContext.seLinuxOptions) || (c.securityContext.seLinuxOptions.all(k, k in ['level']))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].securityContext must be an object of only allowPrivilegeEscalation (required: false), capabilities (required: an object of only drop (required: a list with ALL), add (empty)), privileged (false), readOnlyRootFilesystem, runAsNonRoot (true), runAsUser (65532, or with arbitraryUserIDs any but 0), runAsGroup (65532, or with arbitraryUserIDs any but 0), seccompProfile (an object of only type (required: RuntimeDefault)), appArmorProfile (an object of only type (required: RuntimeDefault)), procMount (Default), seLinuxOptions (an object of only level)
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || (has(c.image) && c.image in {{ $allow.artifactImages | toJson }})))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].image must be the one of the chart's value artifacts
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || ((!has(c.env) || (c.env.all(e, e.all(k, k in ['name', 'value']) && (!has(e.name) || (e.name in ['PODIUM_STORE', 'PODIUM_UPLOAD_SECONDS', 'AWS_ROLE_ARN', 'AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_ENDPOINT_URL_STS', 'PODIUM_ALLOWED_HOSTS', 'PODIUM_AUTHORITIES', 'PODIUM_VALUES', 'PODIUM_GIVEN_0', 'PODIUM_GIVEN_1', 'PODIUM_GIVEN_2', 'PODIUM_GIVEN_3', 'PODIUM_GIVEN_4', 'PODIUM_GIVEN_5', 'PODIUM_GIVEN_6', 'PODIUM_GIVEN_7', 'PODIUM_GIVEN_8', 'PODIUM_GIVEN_9']))))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].env must be a list, each of it an object of only name (PODIUM_STORE or PODIUM_UPLOAD_SECONDS or AWS_ROLE_ARN or AWS_WEB_IDENTITY_TOKEN_FILE or AWS_ENDPOINT_URL_STS or PODIUM_ALLOWED_HOSTS or PODIUM_AUTHORITIES or PODIUM_VALUES or PODIUM_GIVEN_0 or PODIUM_GIVEN_1 or PODIUM_GIVEN_2 or PODIUM_GIVEN_3 or PODIUM_GIVEN_4 or PODIUM_GIVEN_5 or PODIUM_GIVEN_6 or PODIUM_GIVEN_7 or PODIUM_GIVEN_8 or PODIUM_GIVEN_9), value
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || ((!has(c.resources) || (c.resources.all(k, k in ['requests', 'limits']))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].resources must be an object of only requests, limits
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || ((!has(c.volumeMounts) || (c.volumeMounts.all(m, m.all(k, k in ['name', 'mountPath', 'readOnly', 'recursiveReadOnly', 'mountPropagation']) && (!has(m.mountPath) || ((m.mountPath.startsWith('/podium/') && !m.mountPath.contains('..')))) && (!has(m.recursiveReadOnly) || (m.recursiveReadOnly == 'Disabled')) && (!has(m.mountPropagation) || (m.mountPropagation == 'None'))))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].volumeMounts must be a list, each of it an object of only name, mountPath (a string that begins with /podium/), readOnly, recursiveReadOnly (Disabled), mountPropagation (None)
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || ((!has(c.terminationMessagePath) || (c.terminationMessagePath == '/dev/termination-log')))))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].terminationMessagePath must be /dev/termination-log
- expression: >-
    !variables.creates || (variables.helpers.all(c, c.name != 'podium-fetcher' || (has(c.command) && c.command == ['python3', '-P', '-m', 'podium.artifacts.fetcher'])))
  reason: Forbidden
  message: >-
    {{ $spec }}.initContainers[podium-fetcher].command must be [python3, -P, -m, podium.artifacts.fetcher]
- expression: >-
    !variables.creates || (['podium.dev/run', 'podium.dev/node', 'podium.dev/execution'].all(k, k in variables.labels))
  reason: Forbidden
  message: >-
    {{ $meta }}.labels must hold podium.dev/run, podium.dev/node, podium.dev/execution
- expression: >-
    !variables.creates || (variables.labels.all(k, !k.matches('^([^/]*\\.)?(kubernetes\\.io|k8s\\.io|podium\\.dev)/') || k in ['podium.dev/run', 'podium.dev/node', 'podium.dev/execution', 'podium.dev/run-uid', 'podium.dev/workflow', 'podium.dev/executor', 'batch.kubernetes.io/controller-uid', 'batch.kubernetes.io/job-name', 'batch.kubernetes.io/job-completion-index'] || k.startsWith('app.kubernetes.io/') || {{ $allow.labels }}))
  reason: Forbidden
  message: >-
    {{ $meta }}.labels may hold of kubernetes.io, k8s.io and podium.dev only podium.dev/run, podium.dev/node, podium.dev/execution, podium.dev/run-uid, podium.dev/workflow, podium.dev/executor, batch.kubernetes.io/controller-uid, batch.kubernetes.io/job-name, batch.kubernetes.io/job-completion-index, app.kubernetes.io/, those of podDefaults and of the chart's value admissionPolicies.pods.allowedInjection
- expression: >-
    !variables.creates || (variables.annotations.all(k, !k.matches('^([^/]*\\.)?(kubernetes\\.io|k8s\\.io|podium\\.dev)/') || k in ['podium.dev/input', 'podium.dev/script', 'podium.dev/personas', 'podium.dev/node', 'podium.dev/execution', 'podium.dev/restart', 'podium.dev/artifacts', 'batch.kubernetes.io/job-completion-index', 'kubectl.kubernetes.io/default-container', 'kubectl.kubernetes.io/default-logs-container'] || {{ $allow.annotations }}))
  reason: Forbidden
  message: >-
    {{ $meta }}.annotations may hold of kubernetes.io, k8s.io and podium.dev only podium.dev/input, podium.dev/script, podium.dev/personas, podium.dev/node, podium.dev/execution, podium.dev/restart, podium.dev/artifacts, batch.kubernetes.io/job-completion-index, kubectl.kubernetes.io/default-container, kubectl.kubernetes.io/default-logs-container, those of podDefaults and of the chart's value admissionPolicies.pods.allowedInjection
{{- end -}}

{{/* of containers that webhooks add */}}
{{- define "podium.injectedRules" -}}
{{- $allow := .allow -}}
{{- $spec := .spec -}}
{{- $meta := .meta -}}
- expression: >-
    !variables.creates || (variables.injected.all(c, c.all(k, k in ['name', 'image', 'imagePullPolicy', 'command', 'args', 'workingDir', 'env', 'resources', 'volumeMounts', 'securityContext', 'ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle', 'restartPolicy', 'terminationMessagePath', 'terminationMessagePolicy'])))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] that a webhook added may hold only name, image, imagePullPolicy, command, args, workingDir, env, resources, volumeMounts, securityContext, ports, livenessProbe, readinessProbe, startupProbe, lifecycle, restartPolicy, terminationMessagePath, terminationMessagePolicy
- expression: >-
    !variables.creates || (variables.injected.all(c, (!has(c.resources) || (c.resources.all(k, k in ['requests', 'limits'])))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] that a webhook added.resources must be an object of only requests, limits
- expression: >-
    !variables.creates || (variables.injected.all(c, (!has(c.volumeMounts) || (c.volumeMounts.all(m, m.all(k, k in ['name', 'mountPath', 'subPath', 'readOnly', 'recursiveReadOnly', 'mountPropagation']) && (!has(m.recursiveReadOnly) || (m.recursiveReadOnly == 'Disabled')) && (!has(m.mountPropagation) || (m.mountPropagation == 'None')))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] that a webhook added.volumeMounts must be a list, each of it an object of only name, mountPath, subPath, readOnly, recursiveReadOnly (Disabled), mountPropagation (None)
- expression: >-
    !variables.creates || (variables.injected.all(c, (!has(c.ports) || (c.ports.all(p, p.all(k, k in ['name', 'containerPort', 'protocol']))))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] that a webhook added.ports must be a list, each of it an object of only name, containerPort, protocol
- expression: >-
    !variables.creates || (variables.injected.all(c, (!has(c.restartPolicy) || (c.restartPolicy == 'Always'))))
  reason: Forbidden
  message: >-
    {{ $spec }}.containers[*] that a webhook added.restartPolicy must be Always
{{- end -}}

{{/* of a Pod itself */}}
{{- define "podium.podMetadataRules" -}}
{{- $allow := .allow -}}
{{- $spec := .spec -}}
{{- $meta := .meta -}}
- expression: >-
    !variables.creates || (variables.meta.all(k, k in ['name', 'namespace', 'uid', 'creationTimestamp', 'generation', 'resourceVersion', 'managedFields', 'labels', 'annotations', 'ownerReferences', 'finalizers']))
  reason: Forbidden
  message: >-
    metadata may hold only name, namespace, uid, creationTimestamp, generation, resourceVersion, managedFields, labels, annotations, ownerReferences, finalizers
- expression: >-
    !variables.creates || ((!has(variables.meta.finalizers) || (variables.meta.finalizers.all(f, f == 'podium.dev/result'))))
  reason: Forbidden
  message: >-
    metadata.finalizers must be a list, each of it podium.dev/result
{{- end -}}

{{/* of the template of a Job's Pods */}}
{{- define "podium.templateMetadataRules" -}}
{{- $allow := .allow -}}
{{- $spec := .spec -}}
{{- $meta := .meta -}}
- expression: >-
    !variables.creates || (variables.podMeta.all(k, k in ['labels', 'annotations', 'creationTimestamp']))
  reason: Forbidden
  message: >-
    {{ $meta }} may hold only labels, annotations, creationTimestamp
{{- end -}}

{{/* of a Job itself */}}
{{- define "podium.jobRules" -}}
{{- $allow := .allow -}}
{{- $spec := .spec -}}
{{- $meta := .meta -}}
- expression: >-
    !variables.creates || (variables.meta.all(k, k in ['name', 'namespace', 'uid', 'creationTimestamp', 'generation', 'resourceVersion', 'managedFields', 'labels', 'annotations', 'ownerReferences']))
  reason: Forbidden
  message: >-
    metadata may hold only name, namespace, uid, creationTimestamp, generation, resourceVersion, managedFields, labels, annotations, ownerReferences
- expression: >-
    !variables.creates || (variables.job.all(k, k in ['managedBy', 'backoffLimit', 'completions', 'parallelism', 'completionMode', 'backoffLimitPerIndex', 'podReplacementPolicy', 'podFailurePolicy', 'suspend', 'selector', 'manualSelector', 'ttlSecondsAfterFinished', 'template']))
  reason: Forbidden
  message: >-
    spec may hold only managedBy, backoffLimit, completions, parallelism, completionMode, backoffLimitPerIndex, podReplacementPolicy, podFailurePolicy, suspend, selector, manualSelector, ttlSecondsAfterFinished, template
- expression: >-
    !variables.creates || ((!has(variables.job.backoffLimit) || (variables.job.backoffLimit == 0)))
  reason: Forbidden
  message: >-
    spec.backoffLimit must be 0
- expression: >-
    !variables.creates || ((!has(variables.job.completions) || ((variables.job.completions >= 1 && variables.job.completions <= 100000))))
  reason: Forbidden
  message: >-
    spec.completions must be a number from 1 to 100000
- expression: >-
    !variables.creates || ((!has(variables.job.parallelism) || ((variables.job.parallelism >= 0 && variables.job.parallelism <= 100000))))
  reason: Forbidden
  message: >-
    spec.parallelism must be a number from 0 to 100000
- expression: >-
    !variables.creates || ((!has(variables.job.completionMode) || (variables.job.completionMode in ['NonIndexed', 'Indexed'])))
  reason: Forbidden
  message: >-
    spec.completionMode must be NonIndexed or Indexed
- expression: >-
    !variables.creates || ((!has(variables.job.backoffLimitPerIndex) || ((variables.job.backoffLimitPerIndex >= 0 && variables.job.backoffLimitPerIndex <= 100))))
  reason: Forbidden
  message: >-
    spec.backoffLimitPerIndex must be a number from 0 to 100
- expression: >-
    !variables.creates || ((!has(variables.job.manualSelector) || (variables.job.manualSelector == false)))
  reason: Forbidden
  message: >-
    spec.manualSelector must be false
- expression: >-
    !variables.creates || (variables.job.?completionMode.orValue('NonIndexed') == 'Indexed' ? variables.job.?managedBy.orValue('').startsWith('podium.dev/') : variables.job.?completions.orValue(1) == 1 && variables.job.?parallelism.orValue(1) <= 1 && !has(variables.job.backoffLimitPerIndex))
  reason: Forbidden
  message: >-
    spec must be of a Job with one Pod at a time, or of an Indexed Job whose managedBy names Podium
{{- end -}}

{{/* of a container c that is as restricted as that of a node */}}
{{- define "podium.restrictedContainer" -}}
{{- $allow := .allow -}}
has(c.securityContext) && c.securityContext.all(k, k in ['allowPrivilegeEscalation', 'capabilities', 'privileged', 'readOnlyRootFilesystem', 'runAsNonRoot', 'runAsUser', 'runAsGroup', 'seccompProfile', 'appArmorProfile', 'procMount'] || (k == 'seLinuxOptions' && {{ not (empty $allow.anyUser) }})) && has(c.securityContext.allowPrivilegeEscalation) && c.securityContext.allowPrivilegeEscalation == false && has(c.securityContext.capabilities) && c.securityContext.capabilities.all(k, k in ['drop', 'add']) && has(c.securityContext.capabilities.drop) && 'ALL' in c.securityContext.capabilities.drop && (!has(c.securityContext.capabilities.add) || (c.securityContext.capabilities.add.size() == 0)) && (!has(c.securityContext.privileged) || (c.securityContext.privileged == false)) && (!has(c.securityContext.runAsNonRoot) || (c.securityContext.runAsNonRoot == true)) && (!has(c.securityContext.runAsUser) || ((c.securityContext.runAsUser == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsUser > 0)))) && (!has(c.securityContext.runAsGroup) || ((c.securityContext.runAsGroup == 65532 || ({{ $allow.anyUser }} && c.securityContext.runAsGroup > 0)))) && (!has(c.securityContext.seccompProfile) || (c.securityContext.seccompProfile.all(k, k in ['type']) && has(c.securityContext.seccompProfile.type) && c.securityContext.seccompProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.appArmorProfile) || (c.securityContext.appArmorProfile.all(k, k in ['type']) && has(c.securityContext.appArmorProfile.type) && c.securityContext.appArmorProfile.type == 'RuntimeDefault')) && (!has(c.securityContext.procMount) || (c.securityContext.procMount == 'Default')) && (!has(c.securityContext.seLinuxOptions) || (c.securityContext.seLinuxOptions.all(k, k in ['level'])))
{{- end -}}
