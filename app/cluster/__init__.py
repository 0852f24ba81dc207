"""Files annotated by many workers: the parts of `app.annotate --ray`. Only `ray_pool` and `ray_address` import Ray."""
