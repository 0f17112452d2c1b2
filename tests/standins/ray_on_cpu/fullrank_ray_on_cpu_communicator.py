# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in: see fullrank_ray_on_cpu."""

from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator


class OverNodes(CpuCommunicator):
    """Ranks on several nodes share no memory; vLLM's own takes them for one machine wherever they have one rendezvous."""

    def _all_group_ranks_share_shm_group_name(self) -> bool:
        return False
