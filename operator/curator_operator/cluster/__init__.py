"""The only input and output: the API server, the Ray head, the driver."""
