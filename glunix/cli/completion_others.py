"""`glunix completion`: zsh and fish from the same words as bash (glunix.cli.completion)."""

import argparse
import sys
from collections.abc import Callable

from glunix.cli import main
from glunix.cli.completion import (
    JOB_TOOLS,
    NODE_OPTIONS,
    Words,
    bash,
    glurun_words,
    guests,
    sub_parsers,
    tools,
    words_of,
)
from glunix.compare.ways import REGISTRY
from slic.registry import ANSWERING

# -- zsh -----------------------------------------------------------------------------------------

_ZSH = """\
#compdef glunix glurun glubatch glukill glumigrate glups glustat
# Completion for GLUnix. Made by `glunix completion zsh`; use: source <(...), after compinit
_glunix_first() {
  local first rest
  command "$@" 2>/dev/null | { read -r rest; while read -r first rest; do echo $first; done; }
}
"""


def _each(words: list[str]) -> str:
    """Each a word of the shell's."""
    assert not any("'" in word for word in words), words
    return " ".join(f"'{word}'" for word in words)


def _zsh_plain(tool: str, words: Words) -> str:
    jobs = "\n    *) compadd -- $(_glunix_first glups) ;;" if tool in JOB_TOOLS else ""
    valued = "|".join(words.valued) or "-"
    return f"""\
_glunix_{tool}() {{
  case ${{words[CURRENT-1]}} in
    {valued}) compadd -- {_each(words.words)}; return ;;
  esac
  case ${{words[CURRENT]}} in
    -*) compadd -- {_each(words.options)} ;;{jobs}
  esac
}}
compdef _glunix_{tool} {tool}
"""


def _zsh_glunix() -> str:
    subs = sub_parsers(main.parser())
    cases = []
    for name, sub in sorted(subs.items()):
        found = words_of(sub)
        more = sorted(guests()) if name == "compare" else []
        words = _each([*found.options, *found.words, *more])
        cases.append(f"    {name}) compadd -- {words} ;;")
    top = _each([*sorted(subs), *words_of(main.parser()).options])
    return f"""\
_glunix_glunix() {{
  if (( CURRENT == 2 )); then compadd -- {top}; return; fi
  case ${{words[CURRENT-1]}} in
    --engine) compadd -- {_each(list(ANSWERING))}; return ;;
    --ways) compadd -- {_each(sorted(REGISTRY))}; return ;;
    --html) _files; return ;;
  esac
  case ${{words[2]}} in
{chr(10).join(cases)}
  esac
}}
compdef _glunix_glunix glunix
"""


def _zsh_glurun(words: Words) -> str:
    valued, nodes = "|".join(words.valued), "|".join(NODE_OPTIONS)
    return f"""\
_glunix_glurun() {{
  local at=2
  while (( at < CURRENT )); do
    case ${{words[at]}} in
      {valued}) (( at += 2 )) ;;
      --) (( at++ )); break ;;
      -*) (( at++ )) ;;
      *) break ;;
    esac
  done
  if (( at > CURRENT )); then
    case ${{words[CURRENT-1]}} in
      {nodes}) compset -P '*,'; compadd -S '' -- $(_glunix_first glustat) ;;
      *) _files ;;
    esac
  elif (( at == CURRENT )) && [[ ${{words[CURRENT]}} == -* ]]; then
    compadd -- {_each(words.options)}
  else
    shift $(( at - 1 )) words
    (( CURRENT -= at - 1 ))
    _normal
  fi
}}
compdef _glunix_glurun glurun
"""


def zsh() -> str:
    """The whole script."""
    plain = [_zsh_plain(tool, words) for tool, words in tools().items()]
    return "\n".join([_ZSH, *plain, _zsh_glunix(), _zsh_glurun(glurun_words())])


# -- fish ----------------------------------------------------------------------------------------

_FISH = """\
# Completion for GLUnix. Made by `glunix completion fish`; use: glunix completion fish | source
function __glunix_nodes
    set -l before (string match -r '.*,' -- (commandline -ct); or echo '')
    for line in (command glustat 2>/dev/null)[2..-1]
        echo $before(string match -r '^\\S+' -- $line)
    end
end
function __glunix_jobs
    for line in (command glups 2>/dev/null)[2..-1]
        string replace -r '^\\s*(\\d+)\\s+' '$1\\t' -- $line
    end
end
"""


def _fish_option(tool: str, option: str, value: str, when: str = "") -> str:
    """`value`: what it takes: empty, a fish expression, or "FILE"."""
    kind, name = ("-l", option[2:]) if option.startswith("--") else ("-s", option[1:])
    if len(name) > 1 and kind == "-s":
        kind = "-o"  # -KILL
    takes = {"": "", "FILE": " -r"}.get(value, f' -xa "{value}"')
    return f"complete -c {tool}{when} {kind} {name}{takes}"


def _fish_options(tool: str, words: Words, nodes: list[str], when: str = "") -> list[str]:
    lines = []
    for option in words.options:
        value = ""
        if option in nodes:
            value = "(__glunix_nodes)"
        elif option in words.valued:
            value = " ".join(words.words) or "FILE"
        lines.append(_fish_option(tool, option, value, when))
    return lines


def fish() -> str:
    """The whole script."""
    lines = [_FISH]
    for tool, words in tools().items():
        jobs = " -a '(__glunix_jobs)' -k" if tool in JOB_TOOLS else ""
        lines += [f"complete -c {tool} -f{jobs}", *_fish_options(tool, words, [])]
    subs = sub_parsers(main.parser())
    lines.append(f'complete -c glunix -f -n __fish_use_subcommand -a "{" ".join(sorted(subs))}"')
    for name, sub in sorted(subs.items()):
        found = words_of(sub)
        when = f" -n '__fish_seen_subcommand_from {name}'"
        more = [*found.words, *(sorted(guests()) if name == "compare" else [])]
        if more:
            lines.append(f'complete -c glunix -f{when} -a "{" ".join(more)}"')
        for option in found.options:
            value = "FILE" if option in found.valued else ""
            value = {"--engine": " ".join(ANSWERING), "--ways": " ".join(sorted(REGISTRY))}.get(
                option, value
            )
            lines.append(_fish_option("glunix", option, value, when))
    glurun = glurun_words()
    command = f"(__fish_complete_subcommand {' '.join(glurun.valued)})"
    lines.append(f"complete -c glurun -xa '{command}'")
    lines += _fish_options("glurun", glurun, NODE_OPTIONS)
    return "\n".join(lines) + "\n"


SHELLS: dict[str, Callable[[], str]] = {"bash": bash, "fish": fish, "zsh": zsh}


def run_completion(args: argparse.Namespace) -> int:
    """Print the script for args.shell."""
    sys.stdout.write(SHELLS[args.shell]())
    return 0
