"""The tests; this file makes them a package, which others that install a package of this name do not shadow."""
