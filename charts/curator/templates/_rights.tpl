{{/* What the operator asks of the API server in a namespace, and nothing else. */}}
{{- define "curator.rules" -}}
- apiGroups: [curator.dev]
  resources: [curatorpipelines]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [curator.dev]
  resources: [curatorpipelines/status]
  verbs: [patch]
# Children name the pipeline as an owner that blocks deletion; where the API server runs the
# admission plugin OwnerReferencesPermissionEnforcement, as OpenShift's does, that takes this.
- apiGroups: [curator.dev]
  resources: [curatorpipelines/finalizers]
  verbs: [update]
- apiGroups: [ray.io]
  resources: [rayclusters]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, delete]
# Never read: the tokens in them are worked out anew; they go with their pipeline.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* What the uninstall hook needs in each namespace of pipelines. */}}
{{- define "curator.uninstallRules" -}}
- apiGroups: [curator.dev]
  resources: [curatorpipelines]
  verbs: [list, patch]
{{- end -}}

{{/* Annotations of what the uninstall hook needs: there while it runs. */}}
{{- define "curator.uninstallPart" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: "-5"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end -}}
