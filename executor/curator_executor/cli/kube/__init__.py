"""The commands that talk to a cluster: `submit`, `watch`, `logs` and `rerun`.

They need the `kube` extra and nothing of the executor's: no Ray, no stages.
"""
