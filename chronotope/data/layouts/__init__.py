"""Captioned datasets as other trainers keep them -> a plain folder of clips with their captions beside them."""
