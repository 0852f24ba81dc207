"""Known vulnerabilities of the installed packages: `make audit`; needs the network.

pip-audit says "no known vulnerabilities found", with exit code 0, of packages that it could not look up. Here they are
counted, so that a machine without the network does not give the all-clear.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

COMMAND = ("-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off", "--format", "json")
FOUND, NOT_CHECKED = 1, 3  # exit codes


def verdict(packages: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit code and the lines for what pip-audit reports of each package."""
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    if lines:
        return FOUND, lines
    if len(skipped) == len(packages):
        return NOT_CHECKED, ["nothing was audited: the vulnerability service of PyPI knows none of the packages here"]
    more = f"; {len(skipped)} are not on PyPI: {', '.join(skipped)}" if skipped else ""
    return 0, [f"{len(packages) - len(skipped)} packages have no known vulnerability{more}"]


def main() -> int:
    """Audit the environment of this Python; return 1 for known vulnerabilities, 3 if nothing could be looked up."""
    done = subprocess.run([sys.executable, *COMMAND], capture_output=True, text=True, check=False)
    try:
        code, lines = verdict(json.loads(done.stdout)["dependencies"])
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:200]
        code, lines = NOT_CHECKED, [f"nothing was audited: the vulnerability service was not reached ({reason})"]
    print("\n".join(lines), file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
