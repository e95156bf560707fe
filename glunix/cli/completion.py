"""`glunix completion bash|zsh|fish`: completion for every tool, from the tools' own parsers.

Options come from argparse (glukill and glurun parse by hand and publish theirs), so a new option
cannot be forgotten. Only names of nodes and numbers of jobs are asked for when Tab is pressed.
"""

import argparse
from dataclasses import dataclass, field
from importlib import import_module

from glunix.cli import glubatch, glukill, glumigrate, glups, glustat, main, signals
from glunix.compare.guest import GUESTS
from glunix.compare.ways import REGISTRY
from glunix.errors import GlunixError
from slic.registry import ANSWERING


@dataclass(frozen=True, slots=True)
class Words:
    """What a tool accepts: its options, those that take a value, and fixed words after them."""

    options: list[str]
    valued: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def words_of(parser: argparse.ArgumentParser) -> Words:
    """Read the options out of an argparse parser (its actions are what --help prints)."""
    options: list[str] = []
    valued: list[str] = []
    words: list[str] = []
    for action in parser._actions:
        options += action.option_strings
        if action.option_strings and action.nargs is None:
            valued += action.option_strings
        if not action.option_strings and action.choices is not None:
            words += [str(choice) for choice in action.choices]
    return Words(options, valued, words)


def sub_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The sub-commands of a parser by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


NODE_OPTIONS = ["-w", "--nodes", "-x", "--exclude"]
"""Options of glurun whose value is names of nodes, with commas between."""

JOB_TOOLS = ("glukill", "glumigrate", "glups")
"""Tools whose arguments are numbers of jobs."""


def tools() -> dict[str, Words]:
    """Every tool but glunix and glurun."""
    kill_options = [*glukill.OPTIONS, *(f"-{name}" for name in signals.names())]
    return {
        "glubatch": words_of(glubatch.parser()),
        "glumigrate": words_of(glumigrate.parser()),
        "glups": words_of(glups.parser()),
        "glustat": words_of(glustat.parser()),
        "glukill": Words(kill_options, ["-s", "--signal"], signals.names()),
    }


def bash() -> str:
    """The whole script."""
    parts = [
        '# Completion for GLUnix. Made by `glunix completion bash`; use: eval "$(…)"\n',
        _LIVE,
        *(_plain(tool, words) for tool, words in tools().items()),
        _glunix(main.parser()),
        _glurun(glurun_words()),
    ]
    return "\n".join(parts)


_LIVE = """\
_glunix_first() {
  local first rest
  command "$@" 2>/dev/null | { read -r rest; while read -r first rest; do echo "$first"; done; }
}
"""
"""The first column of a table, without its head."""


def glurun_words() -> Words:
    """glurun parses by hand: which of its options take a value is learnt by asking its parser."""
    glurun = import_module("glunix.cli.glurun")
    options: list[str] = list(glurun.OPTIONS)
    valued = []
    for option in options:
        try:
            glurun.split_words([option])
        except GlunixError:
            valued.append(option)
    return Words(options, valued)


def quoted(words: list[str]) -> str:
    """The words as one of a shell's, to be split there."""
    assert not any(set(word) & set("'\\ \n") for word in words), words
    return "'" + " ".join(words) + "'"


def _plain(tool: str, words: Words) -> str:
    """Options after a dash; fixed words after an option that takes a value, files elsewhere."""
    known = [*words.words]
    jobs = tool in JOB_TOOLS
    other = (
        '    *) COMPREPLY=($(compgen -W "$(_glunix_first glups)" -- "$cur")) ;;\n' if jobs else ""
    )
    return f"""\
_glunix_{tool}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
  COMPREPLY=()
  case " "{quoted(words.valued)}" " in
    *" $prev "*) COMPREPLY=($(compgen -W {quoted(known)} -- "$cur")); return ;;
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W {quoted(words.options)} -- "$cur")) ;;
{other}  esac
}}
complete -F _glunix_{tool} {tool}
"""


def guests() -> list[str]:
    """The programs that `glunix compare` can run; `-static` variants are left to be typed."""
    return [path.stem for path in GUESTS.iterdir() if path.suffix in (".c", ".py", ".sh")]


def _glunix(parser: argparse.ArgumentParser) -> str:
    subs = sub_parsers(parser)
    cases = []
    for name, sub in sorted(subs.items()):
        found = words_of(sub)
        more = sorted(guests()) if name == "compare" else []
        cases.append(f"    {name}) words={quoted([*found.options, *found.words, *more])} ;;")
    top = [*sorted(subs), *words_of(parser).options]
    lines = "\n".join(cases)
    return f"""\
_glunix_glunix() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words
  case ${{COMP_WORDS[1]}} in
{lines}
    *) words={quoted(top)} ;;
  esac
  if ((COMP_CWORD == 1)); then words={quoted(top)}; fi
  case $prev in
    --engine) words={quoted(list(ANSWERING))} ;;
    --ways) words={quoted(sorted(REGISTRY))} ;;
    --html) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _glunix_glunix glunix
"""


def _glurun(words: Words) -> str:
    """Options up to the command, then that command and files."""
    return f"""\
_glunix_glurun() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} at=1
  COMPREPLY=()
  while ((at < COMP_CWORD)); do
    case " "{quoted(words.valued)}" " in
      *" ${{COMP_WORDS[at]}} "*) ((at += 2)); continue ;;
    esac
    case ${{COMP_WORDS[at]}} in
      --) ((at++)); break ;;
      -*) ((at++)) ;;
      *) break ;;
    esac
  done
  if ((at > COMP_CWORD)); then
    case " "{quoted(NODE_OPTIONS)}" " in
      *" ${{COMP_WORDS[COMP_CWORD-1]}} "*)
        local before=
        if [[ $cur == *,* ]]; then before=${{cur%,*}},; fi
        COMPREPLY=($(compgen -P "$before" -W "$(_glunix_first glustat)" -- "${{cur##*,}}"))
        return ;;
    esac
    COMPREPLY=($(compgen -f -- "$cur"))
  elif ((at < COMP_CWORD)); then
    if declare -F _command_offset >/dev/null; then _command_offset "$at"; else
      COMPREPLY=($(compgen -f -- "$cur")); fi
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W {quoted(words.options)} -- "$cur"))
  else
    COMPREPLY=($(compgen -c -- "$cur"))
  fi
}}
complete -o filenames -F _glunix_glurun glurun
"""
