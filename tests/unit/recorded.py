# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded and built nodes for tests: sysfs trees, outputs of nvidia-smi. Sources: data/*/SOURCES.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

DATA = Path(__file__).parent / "data"

# name as nvidia-smi prints it, memory in MiB, architecture (data/nvidia_smi/SOURCES.md)
PRODUCTS = {
    "a100": ("NVIDIA A100-SXM4-80GB", 81920, "Ampere"),
    "h100": ("NVIDIA H100 80GB HBM3", 81559, "Hopper"),
    "h200": ("NVIDIA H200", 143771, "Hopper"),
    "h20": ("NVIDIA H20", 97871, "Hopper"),
    "l40s": ("NVIDIA L40S", 46068, "Ada Lovelace"),
    "b200": ("NVIDIA B200", 183359, "Blackwell"),
    "gb200": ("NVIDIA GB200", 189471, "Blackwell"),
}


def unpack(tree: str, root: Path, leave_out: str = "$^") -> Path:
    """Lay a recorded tree out below root, but for the paths that the pattern finds; returns root."""
    folder = ""
    for line in (DATA / "trees" / f"{tree}.tsv").read_text().splitlines():
        if line.startswith("#"):
            continue
        if line.endswith("/") and "\t" not in line:
            folder = line
            continue
        path, _, content = line.lstrip("\t").partition("\t")
        path = (folder if line.startswith("\t") else "") + path
        if not re.search(leave_out, path):
            write(root, path, content)
    return root


def write(root: Path, path: str, content: str) -> None:
    """One file below root, or a symbolic link (``-> target``)."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if content.startswith("-> "):
        file.unlink(missing_ok=True)
        file.symlink_to(content[3:])
    else:
        file.write_text(content.replace("\\n", "\n").replace("\\t", "\t"))


def command(root: Path, argv: str, output: str, rc: int = 0) -> None:
    """Record the output of a command below root."""
    file = root / "commands" / argv
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((f"rc={rc}\n" if rc else "") + output)


def smi(name: str) -> str:
    return (DATA / "nvidia_smi" / name).read_text()


def nvidia_smi_xml(
    product: str,
    addresses: list[str],
    *,
    driver: str = "570.86.15",
    cuda: str = "12.8",
    fabric: str = "Completed",
    status: str = "Success",
    used_mib: int = 4,
    processes: tuple[tuple[int, str, int], ...] = (),
    overrides: dict[str, Any] | None = None,
) -> str:
    """``nvidia-smi -q -x`` of a node that is not recorded anywhere: **built**, in the layout of the v12 recording."""
    name, memory, architecture = PRODUCTS[product]
    mig = (overrides or {}).get("mig_mode", "Disabled")
    gpus = ""
    for index, address in enumerate(addresses):
        running = "".join(
            f"<process_info><pid>{pid}</pid><type>C</type><process_name>{escape(command_line)}</process_name>"
            f"<used_memory>{used} MiB</used_memory></process_info>"
            for pid, command_line, used in processes
        )
        gpus += f"""
    <gpu id="0000{address.upper()}">
        <product_name>{name}</product_name><product_architecture>{architecture}</product_architecture>
        <persistence_mode>Enabled</persistence_mode>
        <mig_mode><current_mig>{mig}</current_mig><pending_mig>{mig}</pending_mig></mig_mode>
        <uuid>GPU-00000000-0000-0000-0000-{index:012d}</uuid><minor_number>{index}</minor_number>
        <gpu_virtualization_mode><virtualization_mode>None</virtualization_mode></gpu_virtualization_mode>
        <pci><pci_bus_id>0000{address.upper()}</pci_bus_id></pci>
        <fb_memory_usage><total>{memory} MiB</total><reserved>551 MiB</reserved><used>{used_mib} MiB</used>
            </fb_memory_usage>
        <ecc_mode><current_ecc>Enabled</current_ecc><pending_ecc>Enabled</pending_ecc></ecc_mode>
        <ecc_errors><volatile><sram_uncorrectable>0</sram_uncorrectable>
            <dram_uncorrectable>0</dram_uncorrectable></volatile></ecc_errors>
        <remapped_rows><remapped_row_pending>No</remapped_row_pending>
            <remapped_row_failure>No</remapped_row_failure></remapped_rows>
        <fabric><state>{fabric}</state><status>{status}</status></fabric>
        <processes>{running}</processes>
    </gpu>"""
    return f"""<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
    <driver_version>{driver}</driver_version><cuda_version>{cuda}</cuda_version>
    <attached_gpus>{len(addresses)}</attached_gpus>{gpus}
</nvidia_smi_log>
"""
