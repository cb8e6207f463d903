"""Links the wheel's data files into this virtual environment, which an editable install leaves out.

Reads the same table the wheel is built from: ``[tool.hatch.build.targets.wheel.shared-data]`` in pyproject.toml.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def shared_data(pyproject: str) -> dict[str, str]:
    """Source path in the repository -> path under the environment's prefix."""
    wheel = tomllib.loads(pyproject)["tool"]["hatch"]["build"]["targets"]["wheel"]
    data: dict[str, str] = wheel.get("shared-data", {})
    return data


def link(source: Path, target: Path) -> None:
    """Makes `target` show `source`. A folder that others fill too gets one link per entry."""
    if source.is_dir() and target.is_dir() and not target.is_symlink():
        for entry in source.iterdir():
            link(entry, target / entry.name)
        return
    if any(parent.is_symlink() for parent in target.parents if parent.is_relative_to(sys.prefix)):
        return  # inside a folder that is linked as a whole
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source, target_is_directory=source.is_dir())


def main() -> int:
    if sys.prefix == sys.base_prefix:
        print("link_shared_data: run me with the virtual environment's Python", file=sys.stderr)
        return 1
    for source, target in shared_data((ROOT / "pyproject.toml").read_text()).items():
        if not (ROOT / source).exists():
            print(
                f"link_shared_data: {source} is missing: build the JupyterLab extension first (npm run build)", file=sys.stderr
            )
            return 1
        link(ROOT / source, Path(sys.prefix) / target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
