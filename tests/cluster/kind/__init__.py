"""A real Kubernetes cluster in containers, with KubeRay and fake GPUs: see `__main__`."""
