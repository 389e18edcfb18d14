"""The Kubernetes runner: a job is a pod. `operator.py` has the operator; nothing heavy is imported here.

template    the pod: base → profile → the task's override, folded in one place
api         the calls to the Kubernetes API, retried, and what its refusals mean
reconcile   one pod per task instance: create it, adopt it, or clear the way
watch       when a pod has ended, and how: one rule for plain and deferrable mode
memory      more of it after running out, up to a ceiling
failures    an exception with a message and a retry rule for every way a pod can end
logs        a pod's log, once and whole
trigger     the wait of a deferred task
sweeper     the DAG that ends what was left behind
"""
