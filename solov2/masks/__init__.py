"""The masks of one picture: in the form in which they were given, and what is computed from them when asked for."""
