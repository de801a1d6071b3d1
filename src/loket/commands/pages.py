"""Pages that follow from the code: printed, written, or checked for being behind it."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from loket.commands.place import Offer, part, say

SCHEMA = Path("schema.graphql")


def offer(add: Offer) -> None:
    either = add(schema, "print the GraphQL schema").add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help=f"compare with {SCHEMA}")
    either.add_argument("--write", action="store_true", help=f"write {SCHEMA}")
    either = add(tables, "print the transition tables").add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="compare with those in README.md")
    either.add_argument("--write", action="store_true", help="write them into README.md")
    either = add(reference, "print the reference of procedure files").add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="compare with the page and the schema")
    either.add_argument("--write", action="store_true", help="write the page's tables and the schema")
    either.add_argument("--schema", action="store_true", help="print the JSON Schema for editors")


def schema(arguments: argparse.Namespace) -> int:
    text: str = part("loket.api.schema:sdl")()
    return _kept(arguments, "schema", {SCHEMA: text}, text)


def tables(arguments: argparse.Namespace) -> int:
    if not (arguments.check or arguments.write):  # an installed Loket has no README
        return _kept(arguments, "tables", {}, part("loket.tables:markdown")())
    page: Path = part("loket.tables:README")
    return _kept(arguments, "tables", {page: part("loket.tables:written")(page.read_text("utf-8"))}, "")


def reference(arguments: argparse.Namespace) -> int:
    wanted: dict[Path, str] = part("loket.reference:files")()
    page, described = wanted
    return _kept(arguments, "reference", wanted, wanted[described if arguments.schema else page])


def _kept(arguments: argparse.Namespace, command: str, wanted: Mapping[Path, str], printed: str) -> int:
    """Write the pages that are `wanted`, compare them, or print `printed`.

    Exit code 1 when `--check` finds others than the code makes.
    """
    if arguments.write:
        for path, text in wanted.items():
            path.write_text(text, "utf-8")
        return 0
    if not arguments.check:
        sys.stdout.write(printed)
        return 0
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        say(f"{path} is not what the code says: run `loket {command} --write` and look at the difference")
    return 1 if stale else 0
