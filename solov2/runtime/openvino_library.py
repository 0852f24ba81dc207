"""OpenVINO without its reports: its package sends an event to Google Analytics whenever it is imported."""

import sys
from typing import Any


def import_openvino() -> Any:
    """Return the module `openvino`, imported so that it finds no library to send reports by, and does without."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it then fails
    import openvino

    return openvino
