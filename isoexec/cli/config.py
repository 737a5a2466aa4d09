"""``isoexec config``: how to build a C host, and the settings."""

import textwrap
from typing import Any

import click

from isoexec import __version__, get_include, get_library_dir, paths
from isoexec.cli.common import failures, load_settings, settings_options, show_json, show_table
from isoexec.settings import Setting, Value, table


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
    """Shows every setting with the value it has from options, environment and TOML file."""
    with failures():
        settings = load_settings(toml, pairs, options, None)
    values = {
        name: (_text(settings[name]) if name in settings else row.default, name in settings)
        for name, row in table().items()
    }
    if as_json:
        shown = {name: {"value": value, "given": given} for name, (value, given) in values.items()}
        show_json({"version": __version__, "settings": shown})
        return
    rows = [
        (name, value or "-", "given" if given else "default", table()[name].range_text)
        for name, (value, given) in values.items()
    ]
    show_table(("setting", "value", "from", "may be"), rows)


@config.command()
def template() -> None:
    """Prints a TOML file with every setting, its meaning and its default."""
    click.echo("[engine]")
    for row in table().values():
        click.echo()
        text = f"{row.doc} May be: {row.range_text}. Environment: {row.environment}."
        click.echo(textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# "))
        click.echo(f"# {row.name} = {_toml(row)}")


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml(row: Setting) -> str:
    if row.type == "int":
        return row.default or "0"
    if row.type == "bool":
        return "true" if row.default.lower() in ("1", "true", "yes", "on") else "false"
    return '"' + row.default.replace("\\", "\\\\").replace('"', '\\"') + '"'
