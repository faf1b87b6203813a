"""`python -m pu_diffusion_pipeline` and the console script: the command line without `kedro`.

They are `kedro run`; with a command's name in front, such as `export`, they are that command.
"""

import sys
from pathlib import Path

from kedro.framework.project import configure_project


def main() -> None:
    """Run the command that is named, else `run`."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    from pu_diffusion_pipeline.cli import cli, run

    command = cli if sys.argv[1:2] and sys.argv[1] in cli.commands else run
    command()


if __name__ == "__main__":
    main()
