"""The data plane: resumable uploads, ranged reads, objects committed whole or not at all."""
