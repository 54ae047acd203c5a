"""`python -m bench [NAME …]`: the measurements by name, all of them without one."""

import sys
from importlib import import_module

from bench import report

NAMES = ("broadcast", "legal", "relay", "intake", "writes", "presses", "pages", "start")


def main(wanted: list[str]) -> int:
    if unknown := [name for name in wanted if name not in NAMES]:
        print(f"No measurement is called {', '.join(unknown)}. There are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    report.machine()
    for name in wanted or NAMES:
        import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
