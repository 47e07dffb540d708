"""A trained model as a world that is stepped and played: one action in, one frame out, from a past of bounded size."""
