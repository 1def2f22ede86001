"""Training on released data: frozen manifests, sealed shards, a data set for torch."""
