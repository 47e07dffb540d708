"""Read and write video and picture files."""
