# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in: a vLLM platform plugin by which vLLM's CPU build runs over Ray, which it refuses as published (0.32).

The executor asks Ray for one GPU per process: the nodes have a logical one (``--num-gpus``), and no GPU is
touched. Put this folder into PYTHONPATH of the engine, on all nodes.
"""


def register() -> str:
    """The platform that vLLM is to use instead of its own (group ``vllm.platform_plugins``)."""
    return "fullrank_ray_on_cpu_platform.RayOnCpu"
