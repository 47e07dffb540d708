"""Injected faults: true clips of the stage with one known fault each."""
