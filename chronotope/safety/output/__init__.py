"""The check of frames: of videos on their way out, and of pictures and clips that users give."""
