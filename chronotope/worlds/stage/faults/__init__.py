"""Inject one known fault each into true clips of the stage."""
