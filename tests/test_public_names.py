import subprocess
import sys

import classlens

HEAVY = {"torch", "numpy", "matplotlib", "cv2", "PIL", "timm", "transformers", "torchvision", "yaml"}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout


def test_every_public_name_loads_and_is_documented():
    assert [name for name in classlens.__all__ if not getattr(classlens, name).__doc__] == []


def test_importing_classlens_loads_nothing_heavy():
    loaded = python("import classlens, sys; print(*{name.partition('.')[0] for name in sys.modules})")

    assert not HEAVY & set(loaded.split())


def test_help_of_every_command_loads_nothing_heavy():
    code = """
import sys
from classlens.cli.main import COMMANDS, main
for command in COMMANDS:
    try:
        main([command, "--help"])
    except SystemExit as stop:
        assert stop.code == 0
print("modules", *{name.partition('.')[0] for name in sys.modules})
"""
    loaded = python(code).splitlines()[-1].split()

    assert loaded[0] == "modules"
    assert not HEAVY & set(loaded)
