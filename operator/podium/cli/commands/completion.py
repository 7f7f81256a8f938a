"""`podium completion`: the script that makes a shell complete podium's command line."""

import click

from podium.cli.completion import SHELLS, script

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
def completion(shell: str) -> None:
    """Print a script that completes verbs, options, files, runs and nodes.

    \b
    bash:  source <(podium completion bash)      in ~/.bashrc
    zsh:   source <(podium completion zsh)       in ~/.zshrc, after compinit
    fish:  podium completion fish | source       in ~/.config/fish/config.fish
    """  # noqa: D301 - \b is click's mark for lines to keep
    click.echo(script(shell), nl=False)
