"""Stand-in: see fullrank_ray_on_cpu."""

from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator


class OverNodes(CpuCommunicator):
    """Ranks on several nodes share no memory; vLLM's own takes them for one machine wherever they have one rendezvous."""

    def _all_group_ranks_share_shm_group_name(self) -> bool:
        return False
