# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for ``sgl_kernel`` on a machine without CUDA: every name can be imported, and raises when it is called.

SGLang imports its kernels by name at start, also for ``--device cpu --attention-backend torch_native``, which calls none of them.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence

__version__ = "0.4.10"


class MissingKernel:
    """The name of a kernel that is not here."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *arguments: object, **options: object) -> None:
        raise NotImplementedError(f"{self.__name__} is a stand-in: the CUDA kernels of SGLang are not installed")

    def __getattr__(self, name: str) -> MissingKernel:
        return _kernel(self.__name__, name)


def _kernel(parent: str, name: str) -> MissingKernel:
    if name.startswith("__"):
        raise AttributeError(name)
    return MissingKernel(f"{parent}.{name}")


class _Submodules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers ``import sgl_kernel.anything``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.startswith("sgl_kernel."):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: _kernel(spec.name, name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run: the module is its ``__getattr__``."""


def __getattr__(name: str) -> MissingKernel:
    return _kernel("sgl_kernel", name)


sys.meta_path.append(_Submodules())
