"""The pusher: a stick that acts on the table, one action a frame."""
