"""The operator: brings `CuratorPipeline` resources up as Ray clusters, and follows their jobs."""
