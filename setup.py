"""What setuptools cannot say in `pyproject.toml`: the examples of `config/` are data of the packages that use them.

In a checkout the packages find `config/` itself (`gateway/shipped.py`, `simulators/shipped.py`).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

EXAMPLES = {
    "gateway": ("gateway*.yaml", "clouds/*.yaml"),
    "simulators": ("plant.yaml", "plant.schema.json", "faults.yaml", "plants/*.yaml"),
}


class BuildWithExamples(build_py):
    """Copies them into `examples/` of each package, unless the installation is editable."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for source, target in self._examples():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *(str(target) for _, target in self._examples())]

    def _examples(self) -> list[tuple[Path, Path]]:
        config = Path(__file__).parent / "config"
        return [
            (source, Path(self.build_lib) / package / "examples" / source.relative_to(config))
            for package, patterns in EXAMPLES.items()
            for pattern in patterns
            for source in sorted(config.glob(pattern))
        ]


setup(cmdclass={"build_py": BuildWithExamples})
