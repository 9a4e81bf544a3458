"""Builds the wheel, looks into it, and tries it in a fresh environment.

First without extras, then as a newcomer who follows a page of the docs.
"""

import subprocess
import sys
import tempfile
import venv
from importlib.metadata import distributions
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent
SMOKE = Path(__file__).with_name("smoke.py")
NEWCOMER = Path(__file__).with_name("newcomer.py")


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run *command*; its failure is ours."""
    subprocess.run(command, cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def build(folder: Path) -> Path:
    """Build the wheel into *folder* with the build backend of this environment."""
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
        *("--outdir", folder, ROOT),
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def strangers(wheel: Path) -> list[str]:
    """List what *wheel* holds beside the package and its metadata."""
    name, version = wheel.name.split("-")[:2]
    own = (f"{name}/", f"{name}-{version}.dist-info/")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    return [file for file in names if not file.startswith(own) or ".pyc" in file]


def pins(folder: Path) -> Path:
    """Write the versions of this environment as constraints, without hashes."""
    path = folder / "constraints.txt"
    found = {d.name: d.version for d in distributions() if d.name != "layerkit"}
    path.write_text("".join(f"{name}=={found[name]}\n" for name in sorted(found)))
    return path


def main() -> int:
    """Return 0 when the wheel is clean and works as it should."""
    with tempfile.TemporaryDirectory(prefix="layerkit-") as name:
        folder = Path(name)
        wheel = build(folder)
        if others := strangers(wheel):
            print(f"{wheel.name} holds more than the package: {', '.join(others)}")
            return 1
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        constraints = pins(folder)
        run(python, "-m", "pip", "install", "-q", "-c", constraints, wheel)
        run(python, "-W", "error", SMOKE, cwd=folder)
        (application := folder / "application").mkdir()
        run(python, "-W", "error", NEWCOMER, wheel, constraints, cwd=application)
    print(f"{wheel.name}: only the package; it works without extras, and as documented")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failure:
        sys.exit(f"wheel check: failed at {' '.join(map(str, failure.cmd))}")
