"""Layouts of other people's benchmarks."""
