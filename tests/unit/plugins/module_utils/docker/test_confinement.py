# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and mounts that give a container its node, in every spelling; and those that do not."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.docker import confinement, run_options
from hypothesis import given
from hypothesis import strategies as st

BEYOND = [
    "--privileged",
    "--privileged=true",
    "--cap-add SYS_ADMIN",
    "--cap-add=SYS_ADMIN",
    "--cap-add CAP_SYS_ADMIN",
    "--cap-add cap_sys_admin",
    "--cap-add=all",
    "--cap-add ALL",
    "--cap-add IPC_LOCK,SYS_MODULE",
    "--cap-add NET_ADMIN",
    "--cap-add DAC_READ_SEARCH",
    "--security-opt seccomp=unconfined",
    "--security-opt=seccomp=unconfined",
    "--security-opt seccomp:unconfined",
    "--security-opt apparmor=unconfined",
    "--security-opt label=disable",
    "--security-opt label:disable",
    "--security-opt systempaths=unconfined",
    "--security-opt no-new-privileges=false",
    "--security-opt unmask=ALL",
    "--pid host",
    "--pid=host",
    "--pid=container:x",
    "--userns host",
    "--uts=host",
    "--device /dev/sda",
    "--device=/dev/mem:/dev/x",
    "--device //dev/sda",
    "--device-cgroup-rule=a",
    "--volumes-from other",
    "-v /:/host",
    "-v/:/host",
    "-v=/:/host",
    "-itv /:/host",
    "-iv/:/host",
    "--volume /:/host:ro",
    "--volume=/:/host",
    "--volume //:/host",
    "--volume /srv/../:/host",
    "--volume ../../:/host",
    "-v /var/run/docker.sock:/var/run/docker.sock",
    "-v /srv/docker.sock:/x:ro",
    "--mount type=bind,source=/,target=/host",
    "--mount=type=bind,src=/,dst=/host",
    "--mount source=/etc,type=bind,target=/x,readonly",
    "--mount type=volume,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/",
    '--mount type=volume,target=/x,"volume-opt=device=/etc"',
    "-v /etc:/etc:ro",
    "-v /etc/fullrank:/x",
    "-v /etc/passwd:/etc/passwd",
    "-v /run:/run",
    "-v /proc:/host/proc:ro",
    "-v /sys:/sys",
    "-v /dev:/dev",
    "-v /root/.ssh:/root/.ssh:ro",
    "-v /var:/x",
    "-v /var/lib:/x",
    "-v /home:/x",
    "-v /usr/local/bin:/x",
    "-v /var/lib/docker/volumes:/x",
    "--label",
    "--label --security-opt --cap-add=ALL",
    "-e --security-opt -v/:/host",
    "-l --device --cap-add=ALL",
    "--mount type=bind,SRC=/,DST=/host",
    "--mount TYPE=BIND,Source=/,DST=/host",
    "--mount type=bind,src=/etc/passwd,dst=/p,readonly=true,RO=false",
    "--mount type=bind,src=/etc/passwd,dst=/p,readonly,rw",
    "--mount type=volume,dst=/h,VOLUME-OPT=device=/,volume-opt=o=bind,volume-opt=type=none",
    "--mount type=volume,volume-opt=type=none,volume-opt=device=/,volume-opt=o=bind,src=v,dst=/h",
    "--mount type=volume,volume-opt=type=proc,volume-opt=device=proc,dst=/h",
    '--mount type=volume,dst=/h,volume-opt=type=overlay,"volume-opt=o=lowerdir=/:/mnt"',
    "--mount type=bind,src=/data,src=/,dst=/h",
    "--mount type=bind,src=/data,dst=/h,bind-propagation=rshared",
    "--mount type=glob,src=/et*,dst=/x",
    '--mount type=bind,"src=/etc,dst=/x',
    "--mount=",
    "-v /etc/passwd:/p,ro",
    "-v /usr:/x,ro",
    "-v /usr:/x:ro,rw",
    "-v /data:/x:U",
    "-v ~:/x",
    "--use-api-socket",
    "--device dev/sda:/dev/sda",
    "--device=/dev/nvidia0,/dev/sda",
    "--device /dev/dri/../sda",
    "--device /dev/nvidia/../sda",
    "--security-opt label=type:spc_t",
    "--security-opt SECCOMP=unconfined",
    "--security-opt apparmor=Unconfined",
    "--security-opt seccomp=profile.json",
    "-v /var/spool/cron:/c",
    "-v /var/snap/lxd/common/lxd/unix.socket:/s",
    "-v /root/.bashrc:/c",
    "-v /home/ubuntu/.ssh:/c",
    "-v /var/lib/dpkg:/d",
    "-v /var/lib/cloud:/d:ro",
    "--env-file /etc/fullrank/other.secret.env",
    "--env-file=/data/env,/etc/fullrank/other.secret.env",
    "--env-file env",
    "--log-driver k8s-file",
    "--log-opt path=/etc/profile.d/x.sh",
    "--log-opt=max-size=1m,path=/x",
    "--runtime=/tmp/x",
    "--cgroup-parent=/",
    "--sysctl kernel.core_pattern=x",
    "--annotation a=b",
    "--ipc=container:x",
    "--label nerdctl/mounts=[]",
    "--cidfile /etc/x",
    "--init-path /x",
    "--hooks-dir=/x",
    "--no-such-option=x",
    "other/image",
    "--",
    "-",
    "-du0",
    "-x",
]
FINE = [
    "--cpus 8",
    "--label=a=b",
    "--cap-add IPC_LOCK",
    "--cap-add=SYS_PTRACE",
    "--cap-drop ALL",
    "--security-opt no-new-privileges",
    "--security-opt no-new-privileges:true",
    "--security-opt label=type:container_t",
    "--security-opt seccomp=/srv/profile.json",
    "--privileged=false",
    "--pid private",
    "--device nvidia.com/gpu=all",
    "--device=/dev/infiniband/uverbs0",
    "--device /dev/gdrdrv",
    "-v /data/models:/models:ro",
    "-v /data:/data",
    "-v /root/.cache/huggingface:/root/.cache/huggingface",
    "-v /home/ann/models:/models",
    "-v cache:/root/.cache",
    "-v /cache",
    "--volume=/opt/fullrank:/opt/fullrank:ro",
    "-v /etc/localtime:/etc/localtime:ro",
    "-v /etc/ssl/certs:/etc/ssl/certs:z,ro",
    "-v /usr/local/cuda:/usr/local/cuda:ro",
    "-v /dev/shm:/dev/shm",
    "-v /var/run/nvidia-topologyd:/var/run/nvidia-topologyd:ro",
    "--mount type=bind,source=/data,target=/data",
    "--mount type=tmpfs,target=/x",
    "--env PATH=/etc",
    "--user 1000:1000",
    "--tmpfs /tmp",
    "-w /etc",
    "-ite A=B",
    "-l a=b",
    "-e --privileged",
    "--label=--cap-add=ALL",
    "--device=/dev/nvidia0,nvidia.com/gpu=1",
    "-v /sys/class/infiniband:/sys/class/infiniband:ro",
    "-v /etc/ssl/fullrank/chat.pem:/etc/ssl/fullrank/chat.pem:ro",
    '--mount type=bind,src=/usr,dst=/h,"ro"',
    "--log-driver journald --log-opt max-size=10m",
    "--env-file /data/env",
    "--runtime nvidia",
    "--security-opt seccomp=builtin",
]


@pytest.mark.parametrize("words", BEYOND)
def test_what_gives_the_node(words: str) -> None:
    assert len(confinement.beyond(words.split(" "))) == 1


@pytest.mark.parametrize("words", FINE)
def test_what_does_not(words: str) -> None:
    assert confinement.beyond(words.split(" ")) == []


@pytest.mark.parametrize(
    ("source", "read_only", "fine"),
    [
        ("/", True, False),
        ("/etc", True, False),
        ("/etc/ssl/certs", True, True),
        ("/etc/ssl/certs", False, False),
        ("/var/run/docker.sock", True, False),
        ("/data/models", False, True),
        ("cache", False, True),
        ("..", False, False),
        ("/data:/etc", False, False),
        ("/usr/bin", True, True),
        ("/usr", False, False),
    ],
)
def test_mounts(source: str, read_only: bool, fine: bool) -> None:
    assert (confinement.beyond([], [{"source": source, "read_only": read_only}]) == []) == fine


def test_all_findings_at_once() -> None:
    words = ["--cap-add", "SYS_ADMIN", "-v", "/:/host", "--pid=host", "--pid=host"]
    assert len(confinement.beyond(words, [{"source": "/etc"}])) == 4


@given(st.lists(st.sampled_from(["/", "//", "/.", "/..", "/data/..", "/etc/.."]), min_size=1, max_size=4))
def test_however_the_root_is_written(parts: list[str]) -> None:
    assert confinement.exposed("".join(parts), read_only=True)


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_words_break_it(words: list[str]) -> None:
    confinement.beyond(words)


NODE = (
    "-v/:/host",
    "--volume=/etc:/x",
    "--cap-add=ALL",
    "--pid=host",
    "--mount=type=bind,src=/,dst=/h",
    "--privileged",
)


@given(
    st.lists(st.sampled_from([f"--{name}" for name in sorted(run_options.VALUED)]), max_size=3), st.sampled_from(NODE)
)
def test_a_word_counts_unless_an_option_before_it_takes_it_as_its_value(before: list[str], word: str) -> None:
    """An option that takes a value takes the next word, whatever it is; so every second one is a value."""
    is_value = len(before) % 2 == 1
    found = confinement.beyond([*before, word])
    assert any(one.startswith(f"{word}: ") for one in found) == (not is_value)
    judged = confinement.beyond([f"{before[-1]}={word}"]) if is_value else []
    assert not judged or any(word in one for one in found)


@pytest.mark.parametrize(
    ("words", "runtime"),
    [
        ("--tz UTC --no-hosts --unsetenv A --read-only-tmpfs=false", "podman"),
        ("--passwd-entry x --arch arm64 --timeout 60 --env-merge A=${A}x", "podman"),
        ("--dns-opt ndots:1 --group-add video", "nerdctl"),
    ],
)
def test_what_podman_and_nerdctl_have_of_their_own_passes_where_it_stays_in_the_container(
    words: str, runtime: str
) -> None:
    assert confinement.beyond(words.split(), runtime=runtime) == []
    assert confinement.beyond(words.split()) == []


@pytest.mark.parametrize(
    ("words", "runtime", "why"),
    [
        ("--pidfile /etc/cron.d/x", "podman", "writes this file"),
        ("--conmon-pidfile=/etc/x", "podman", "writes this file"),
        ("--cidfile /etc/x", "docker", "writes this file"),
        ("--pidfile /etc/x", "nerdctl", "writes this file"),
        ("--init-path /bin/sh", "podman", "a program of the node"),
        ("--init-binary sh", "nerdctl", "a program of the node"),
        ("--group-add keep-groups", "podman", "keeps groups of the node"),
        ("--group-add video,keep-groups", "podman", "keeps groups of the node"),
        ("--uidmap 0:0:65536", "podman", "known to be harmless"),
        ("--pod x", "podman", "known to be harmless"),
        ("--secret x", "podman", "known to be harmless"),
        ("--authfile /root/.docker/config.json", "podman", "known to be harmless"),
        ("--cgroups disabled", "podman", "known to be harmless"),
        ("--seccomp-policy image", "podman", "known to be harmless"),
        ("--tz --privileged", "podman", ""),
        ("--tz UTC", "docker", "docker has no such option"),
        ("--tz UTC", "nerdctl", "nerdctl has no such option"),
        ("--init-binary x", "podman", "podman has no such option"),
    ],
)
def test_what_podman_and_nerdctl_have_of_their_own_is_judged(words: str, runtime: str, why: str) -> None:
    """``--tz --privileged`` is a time zone with an odd name: podman takes the next word for the value."""
    found = confinement.beyond(words.split(), runtime=runtime)
    assert [why in one for one in found] == [True] * bool(why), found
