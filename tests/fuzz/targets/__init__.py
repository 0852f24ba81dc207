"""The targets, a module for each reader; see `tests.fuzz` for how to add one."""
