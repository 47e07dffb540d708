"""Language: anybody's prompt -> the captions that a model was taught."""
