# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in: see fullrank_ray_on_cpu. Modules of their own, since vLLM's may be imported only once a platform is chosen."""

from vllm.platforms.cpu import CpuPlatform


class RayOnCpu(CpuPlatform):
    """vLLM's CPU, by the name under which Ray counts devices."""

    ray_device_key = "GPU"

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        return "fullrank_ray_on_cpu_communicator.OverNodes"
