"""What describes clips: the built-in captioner, endpoints, models of `transformers`; which of their answers count."""
