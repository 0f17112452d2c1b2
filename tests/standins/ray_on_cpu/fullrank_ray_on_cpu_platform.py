"""Stand-in: see fullrank_ray_on_cpu. Modules of their own, since vLLM's may be imported only once a platform is chosen."""

from vllm.platforms.cpu import CpuPlatform


class RayOnCpu(CpuPlatform):
    """vLLM's CPU, by the name under which Ray counts devices."""

    ray_device_key = "GPU"

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        return "fullrank_ray_on_cpu_communicator.OverNodes"
