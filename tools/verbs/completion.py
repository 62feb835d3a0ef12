"""`ackbook completion`: the script by which a shell completes verbs, options and agents."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ackbook.tools.cli.output import tell


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash: eval "$(ackbook completion bash)"          in ~/.bashrc
    zsh:  eval "$(ackbook completion zsh)"           in ~/.zshrc
    fish: ackbook completion fish > ~/.config/fish/completions/ackbook.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    tell(script(context.find_root().command, {}, "ackbook", "_ACKBOOK_COMPLETE").source())
