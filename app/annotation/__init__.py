"""Annotating files: which inputs there are, what is written about each, and how an interrupted run goes on."""
