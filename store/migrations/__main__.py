"""For developers: write the migration that leads from the last one to `store/tables.py`.

python -m store.migrations "Households know their language"     a new migration
python -m store.migrations --again                              the first one anew, while nothing is released
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.script import ScriptDirectory

from store.migrations import HERE, _sqlite, config
from store.schema import HEAD


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(__doc__ or "")
        return 2
    again = arguments == ["--again"]
    message = "Every table of the house" if again else arguments[0]
    versions = HERE / "versions"
    if again:
        for old in versions.glob("0001_*.py"):
            old.unlink()
    with TemporaryDirectory() as folder:
        engine = _sqlite(Path(folder) / "empty.db")
        with engine.begin() as connection:
            if not again:
                command.upgrade(config(connection), "head")
            newest = "0001" if again else f"{int(HEAD) + 1:04}"
            command.revision(config(connection), message, autogenerate=True, rev_id=newest)
        engine.dispose()
    for written in versions.glob("*.py"):
        lines = written.read_text("utf-8").splitlines(keepends=True)
        written.write_text("".join(line for line in lines if "# ###" not in line), "utf-8")
    for tool in (["check", "--select", "I,F401", "--fix"], ["format"]):
        subprocess.run([Path(sys.executable).with_name("ruff"), *tool, "--quiet", versions], check=False)  # noqa: S603 - our own tool
    head = ScriptDirectory.from_config(config()).get_current_head()
    sys.stderr.write(f"Set HEAD in store/schema.py to {head!r}; read what was written before you keep it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
