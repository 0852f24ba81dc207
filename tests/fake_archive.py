"""`python -m tests.fake_archive ARGUMENTS`: app.annotate --ray with a slow fake model, for tests that kill it."""

import sys

from app import annotate
from app.annotation.job import WantedOutputs
from app.cluster.ray_run import annotate_on_ray
from tests.fake_cluster import open_slow

if __name__ == "__main__":
    options = annotate.build_parser().parse_args()
    sys.exit(annotate_on_ray(options, WantedOutputs(options.video), open_slow))
