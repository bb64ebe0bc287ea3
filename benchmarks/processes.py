"""One store, four processes at once: two that write, two that recall what the others have written."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from memsdk.testing.process_workers import run


def main(arguments: list[str]) -> dict[str, object]:
    """Run and print; `met` says whether nothing failed, was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks processes", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="records a writer")
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--readers", type=int, default=2)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result = run(Path(folder), writers=options.writers, readers=options.readers, count=options.count)
    rate = options.writers * options.count / float(str(result["seconds"]))
    print(f"{options.writers} writers, {options.readers} readers: {result}; {rate:.0f} records/s")
    met = result["clean"] and not (result["errors"] or result["lost"] or result["doubled"])
    return {"met": met, "writers": options.writers, "readers": options.readers, **result}
