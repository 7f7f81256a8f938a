{{/*
What the policies have in common. They are ValidatingAdmissionPolicies: one for each resource, over
all operations, because the server turns an object into CEL once for each policy and binding. None has
a messageExpression, which is evaluated on every request.
*/}}

{{/* Name of a policy and of its binding. Arguments: root, policy. */}}
{{- define "podium.policyMetadata" -}}
metadata:
  name: {{ include "podium.fullname" .root }}-{{ .policy }}
  labels: {{- include "podium.labels" .root | nindent 4 }}
{{- end -}}

{{- define "podium.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
{{ include "podium.policyMetadata" . }}
spec:
  policyName: {{ include "podium.fullname" .root }}-{{ .policy }}
  validationActions: [Deny]
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

{{- define "podium.isOperator" -}}
request.userInfo.username == {{ include "podium.username" . | squote }}
{{- end -}}

{{/* Parts of Kubernetes that remove what belongs to something that is gone. */}}
{{- define "podium.isCollector" -}}
request.userInfo.username in ['system:serviceaccount:kube-system:generic-garbage-collector',
{{ print "'system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager']" }}
{{- end -}}

{{/* CEL: whether the operator may work in the request's namespace. */}}
{{- define "podium.place" -}}
!(request.namespace in {{ list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace | toJson }})
{{- $labels := "namespaceObject.metadata.?labels.orValue({})" }}
{{- range $key, $value := .Values.namespaceSelector.matchLabels }}
&& {{ $labels }}[?{{ toJson $key }}].orValue({{ printf "not %s" $value | toJson }}) == {{ toJson $value }}
{{- end }}
{{- range .Values.namespaceSelector.matchExpressions }}
{{- if eq .operator "Exists" }}
&& {{ toJson .key }} in {{ $labels }}
{{- else if eq .operator "DoesNotExist" }}
&& !({{ toJson .key }} in {{ $labels }})
{{- else }}
&& {{ if eq .operator "NotIn" }}!{{ end }}({{ toJson .key }} in {{ $labels }} && {{ $labels }}[{{ toJson .key }}] in {{ toJson .values }})
{{- end }}
{{- end }}
{{- end -}}

{{- define "podium.placeMessage" -}}
Podium makes and deletes nothing in kube-system and other namespaces of Kubernetes, in its own, nor where the chart's value namespaceSelector does not select the namespace
{{- end -}}

{{/* Variables of the rules for Pods and Jobs. `meta` is the object's own as it was, or is made. */}}
{{- define "podium.commonVariables" -}}
- name: creates
  expression: request.operation == 'CREATE'
- name: meta
  expression: "dyn(request.operation == 'CREATE' ? object.metadata : oldObject.metadata)"
- name: ownLabels
  expression: variables.meta.?labels.orValue({})
- name: owners
  expression: variables.meta.?ownerReferences.orValue([])
{{- end -}}

{{/* Variables of the generated rules. Arguments: spec and meta, the paths; match, of injected containers. */}}
{{- define "podium.podVariables" -}}
- name: spec
  expression: dyn(object.{{ .spec }})
- name: podMeta
  expression: dyn(object.{{ .meta }})
- name: labels
  expression: variables.podMeta.?labels.orValue({})
- name: annotations
  expression: variables.podMeta.?annotations.orValue({})
# Only the operator's account is matched, and it sets this label on what an Executor shapes alone.
- name: widens
  expression: variables.creates && {{ .executors }} && 'podium.dev/executor' in variables.labels
- name: restricts
  expression: variables.creates && !variables.widens
- name: everyContainer
  expression: variables.spec.containers + variables.spec.?initContainers.orValue([])
- name: helpers
  expression: variables.everyContainer.filter(c, {{ include "podium.isHelper" . }})
- name: containers
  {{- if .match }}
  expression: variables.everyContainer.filter(c, !({{ include "podium.isHelper" . }}) && !({{ .match }}))
- name: injected
  expression: variables.everyContainer.filter(c, !({{ include "podium.isHelper" . }}) && ({{ .match }}))
  {{- else }}
  expression: variables.everyContainer.filter(c, !({{ include "podium.isHelper" . }}))
  {{- end }}
{{- end -}}

{{/* CEL: whether the container c carries artifacts. */}}
{{- define "podium.isHelper" -}}
c.name in ['podium-collector', 'podium-fetcher']
{{- end -}}

{{/* CEL: whether the container c is one that a webhook may add. Argument: an entry's container. */}}
{{- define "podium.isInjected" -}}
(c.name == {{ toJson .name }} && {{ if hasSuffix "*" .image -}}
c.image.startsWith({{ trimSuffix "*" .image | toJson }})
{{- else -}}
c.image == {{ toJson .image }}
{{- end }})
{{- end -}}

{{/*
What values allow beyond the closed list, as JSON for the generated rules: lists, and snippets of CEL
about k (a key), s in v (a source in a projected volume) and e (a variable). Arguments: root, injection.
*/}}
{{- define "podium.allowances" -}}
{{- $own := .root.Values.podDefaults | default dict -}}
{{- $labels := list (printf "k in %s" (keys ($own.labels | default dict) | sortAlpha | toJson)) -}}
{{- $annotations := list (printf "k in %s" (keys ($own.annotations | default dict) | sortAlpha | toJson)) -}}
{{- if .root.Values.arbitraryUserIDs -}}
{{- $annotations = append $annotations "k == 'seccomp.security.alpha.kubernetes.io/pod'" -}}
{{- end -}}
{{- $tokens := list -}}
{{- $env := list -}}
{{- $match := list -}}
{{- range .injection -}}
{{- range .labels }}{{- $labels = append $labels (printf "k.startsWith(%s)" (toJson .)) }}{{- end -}}
{{- range .annotations }}{{- $annotations = append $annotations (printf "k.startsWith(%s)" (toJson .)) }}{{- end -}}
{{- range .env }}{{- $env = append $env (printf "(e.name.startsWith(%s) && !has(e.valueFrom.secretKeyRef))" (toJson .)) }}{{- end -}}
{{- range .volumes }}{{- if .tokenAudience -}}
{{- $tokens = append $tokens (printf "(v.name == %s && s.all(k, k == 'serviceAccountToken') && s.serviceAccountToken.?audience.orValue('') == %s)" (toJson .name) (toJson .tokenAudience)) -}}
{{- end }}{{- end -}}
{{- range .containers }}{{- $match = append $match (include "podium.isInjected" .) }}{{- end -}}
{{- end -}}
{{- $images := list -}}
{{- $secrets := list -}}
{{- $claims := list -}}
{{- with include "podium.artifacts" .root | fromJson -}}
{{- $images = append $images .image -}}
{{- $tokens = append $tokens (printf "(v.name == 'podium-store' && s.all(k, k == 'serviceAccountToken') && s.serviceAccountToken.?audience.orValue('') == %s)" (toJson .tokenAudience)) -}}
{{- with .s3 }}{{- with .credentialsSecret }}{{- $secrets = append $secrets . }}{{- end }}{{- end -}}
{{- with .pvc }}{{- $claims = append $claims .claimName }}{{- end -}}
{{- end -}}
{{- $runtime := list -}}
{{- with $own.runtimeClassName }}{{- $runtime = list . }}{{- end -}}
{{- dict
  "anyUser" (.root.Values.arbitraryUserIDs | default false)
  "runtimeClasses" $runtime
  "artifactImages" $images
  "storeSecrets" $secrets
  "storeClaims" $claims
  "labels" (join " || " $labels)
  "annotations" (join " || " $annotations)
  "tokens" (join " || " $tokens | default "false")
  "env" (join " || " $env | default "false")
  "match" (join " || " $match)
  | toJson -}}
{{- end -}}

{{/* What podDefaults put every Pod into, such as a sandbox, no Pod leaves. Arguments: root, spec. */}}
{{- define "podium.sandboxRules" -}}
{{- $own := .root.Values.podDefaults | default dict -}}
{{- with $own.runtimeClassName }}
- expression: >-
    !variables.creates || variables.spec.?runtimeClassName.orValue('') == {{ toJson . }}
  reason: Forbidden
  message: {{ $.spec }}.runtimeClassName must be that of the chart's value podDefaults, {{ . }}
{{- end }}
{{- if eq (toString $own.hostUsers) "false" }}
- expression: "!variables.creates || !variables.spec.?hostUsers.orValue(true)"
  reason: Forbidden
  message: {{ .spec }}.hostUsers must be false, as the chart's value podDefaults says
{{- end }}
{{- end -}}
