"""``isoexec config``: how to build a C host, and the settings."""

import itertools
import textwrap
from typing import Any

import click

from isoexec import __version__, get_include, get_library_dir, paths
from isoexec._sources import ENGINE_TABLE, RANK_TABLE
from isoexec.cli.common import failures, load_settings, settings_options, show_json, show_table
from isoexec.settings import Effective, Setting, table


@click.group(invoke_without_command=True)
@click.option("--cflags", is_flag=True, help="Compiler flags.")
@click.option(
    "--libs", is_flag=True, help="Linker flags and libraries, for after the source files."
)
@click.option("--includes", is_flag=True, help="Folder of isoexec.h.")
@click.option("--ldflags", is_flag=True, help="Linker flags without the libraries.")
@click.option("--libdir", is_flag=True, help="Folder of libisoexec.so.")
@click.pass_context
def config(
    ctx: click.Context, cflags: bool, libs: bool, includes: bool, ldflags: bool, libdir: bool
) -> None:
    """Shows how to build a C host, and the settings of an engine.

    \b
        cc embed.c $(isoexec config --cflags --libs) -o embed
    """
    answers = []
    with failures():
        if cflags:
            answers += paths.cflags()
        if includes:
            answers.append(get_include())
        if ldflags and not libs:
            answers += paths.ldflags()
        if libs:
            answers += paths.libs()
        if libdir:
            answers.append(get_library_dir())
    if answers:
        click.echo(" ".join(answers))
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Prints one JSON document.")
@settings_options
def show(as_json: bool, toml: Any, pairs: tuple[str, ...], **options: Any) -> None:
    """Shows what each rank gets, and from where: option, environment, TOML file or default.

    A setting has one row, or one for each group of ranks that get the same. Every problem of the
    settings is listed at once, with exit code 3.
    """
    with failures():
        settings = load_settings(toml, pairs, options, None)
        ranks = settings.ranks()
    folded = {name: _folded([rank[name] for rank in ranks]) for name in table()}
    if as_json:
        shown = {
            name: [{"ranks": on, "value": e.value, "from": e.source} for on, e in groups]
            for name, groups in folded.items()
        }
        show_json({"version": __version__, "ranks": len(ranks), "settings": shown})
        return
    rows = [
        (name if i == 0 else "", on, _shown(effective.value), effective.source)
        for name, groups in folded.items()
        for i, (on, effective) in enumerate(groups)
    ]
    show_table(("setting", "ranks", "value", "from"), rows, left=True)


def _folded(ranks: list[Effective]) -> list[tuple[str, Effective]]:
    """Each different value with the ranks that get it: ``"all"``, ``"1-2,4"``."""
    groups: dict[Effective, list[int]] = {}
    for number, effective in enumerate(ranks, 1):
        groups.setdefault(effective, []).append(number)
    if len(groups) == 1:
        return [("all", ranks[0])]
    return [(_range_text(numbers), effective) for effective, numbers in groups.items()]


def _range_text(numbers: list[int]) -> str:
    parts: list[str] = []
    for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        inside = [number for _, number in run]
        parts.append(f"{inside[0]}-{inside[-1]}" if len(inside) > 1 else str(inside[0]))
    return ",".join(parts)


def _shown(value: str | None) -> str:
    """Lists on one line."""
    return ", ".join(value.split("\n")).rstrip(", ") if value else "-"


@config.command()
def template() -> None:
    """Prints a TOML file with every setting, its meaning and its default."""
    click.echo(f"[{ENGINE_TABLE}]")
    for row in table().values():
        click.echo()
        text = f"{row.doc} May be: {row.range_text}. Environment: {row.environment}."
        _comment(text)
        click.echo(f"# {row.name} = {_toml(row)}")
    own = [row.name for row in table().values() if row.scope != "engine"]
    click.echo()
    _comment(
        f"Some ranks may have of their own: {', '.join(own)}. What stands in such a table wins "
        f'over [{ENGINE_TABLE}]. One for several ranges: [{RANK_TABLE}."1,3-4"]. Environment: '
        "ISOEXEC_RANK_3_4_DEADLINE."
    )
    click.echo(f"# [{RANK_TABLE}.3-4]")
    click.echo('# deadline = "20ms"')


def _comment(text: str) -> None:
    lines = textwrap.fill(
        text,
        100,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    click.echo(lines)


def _toml(row: Setting) -> str:
    if row.type == "int":
        return row.default or "0"
    if row.type == "bool":
        return "true" if row.default.lower() in ("1", "true", "yes", "on") else "false"
    if row.default == "" and row.type != "str":
        return '"none"'
    return '"' + row.default.replace("\\", "\\\\").replace('"', '\\"') + '"'
